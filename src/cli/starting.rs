//! Starting an engine with the models of a command.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use rdpm::engine::{Engine, FolderLoader, Options};
use rdpm::model::ModelInfo;

use super::escape::Escaped;
use super::models::{Chosen, ModelArguments};

/// The devices of a comma-separated list; each gets a worker.
pub fn devices(list: &str) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    for (at, name) in names.iter().enumerate() {
        anyhow::ensure!(!names[..at].contains(name), "device {name:?} is named twice in {list:?}");
    }
    Ok(names)
}

/// The options of an engine that draws for a queue, where gateways limit and keep the jobs.
pub fn for_queue(options: Options) -> Options {
    Options {
        job_timeout: None,
        max_queue: usize::MAX,
        max_finished: 2 * options.max_batch,
        retention: Duration::from_secs(10),
        ..options
    }
}

/// Reads about the models.
pub fn describe_models(model: &ModelArguments) -> anyhow::Result<Chosen<ModelInfo>> {
    let devices = devices(&model.device)?;
    model.choose()?.keep(|folder, _| {
        let computation = model.computation_on(folder, &devices)?;
        Ok(ModelInfo::read_with(folder, computation)?)
    })
}

/// Starts an engine with the models, which takes a while.
pub fn start_engine(model: &ModelArguments, options: Options) -> anyhow::Result<(Engine, Chosen<ModelInfo>)> {
    let chosen = describe_models(model)?;
    let name_and_folder = |(folder, info): &(PathBuf, ModelInfo)| (info.config.name.clone(), folder.clone());
    let folders: Vec<_> = chosen.models.iter().map(name_and_folder).collect();
    let infos: Vec<ModelInfo> = chosen.models.iter().map(|(_, info)| info.clone()).collect();
    let load_on = |device: &String| {
        let computations = infos.iter().map(|info| (info.config.name.clone(), info.computation));
        FolderLoader::new(folders.clone(), device).with_computations(computations)
    };
    let loaders = devices(&model.device)?.iter().map(load_on).collect();
    let engine = Engine::start(options, infos, loaders)?;
    let chosen = chosen.keep(|_, info| {
        let unusable = engine.unusable_models().iter().find(|(name, _)| *name == info.config.name);
        unusable.map_or(Ok(info), |(_, error)| Err(anyhow!("{error}")))
    })?;
    Ok((engine, chosen))
}

/// Logs the models that can't be used.
pub fn log_skipped(chosen: &Chosen<ModelInfo>) {
    for (folder, error) in &chosen.bad {
        let reason = Escaped(format!("{error:#}"));
        tracing::error!(path = %Escaped(folder.display()), %reason, "a model is skipped");
    }
}
