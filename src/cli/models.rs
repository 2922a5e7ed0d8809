//! The models that a command uses.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use rdpm::model::{
    Computation, ComputeDevice, Config, Model, ModelError, ModelFolder, PassCountSetting, Precision,
    PrecisionSetting, discover_models, open_device,
};
use serde::Serialize;

use super::weights::Weights;

/// The default model where none is named. Fixed, so that adding models doesn't change the default.
const DEFAULT: &str = "fashion-mnist";

/// The models, and their device.
#[derive(Debug, Clone, Args, Serialize)]
pub struct ModelArguments {
    /// Folder of a model (config.json, model.safetensors), or of several such folders. Or the address of a model on a server, which
    /// is pulled first: see `rdpm pull`.
    #[arg(long, env = "RDPM_WEIGHTS", default_value = "weights", value_name = "FOLDER-OR-URL", hide_env_values = true,
        value_parser = PathBufValueParser::new().map(Weights::from))]
    pub weights: Weights,
    /// Folder in which models are kept that were pulled. If omitted, rdpm in $XDG_CACHE_HOME or in ~/.cache.
    #[arg(long, env = "RDPM_CACHE", value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
    /// Models to use: names, separated by commas. The first is the default; commands other than `serve` and `info` use
    /// only that one. If omitted, all models are used: fashion-mnist first, the others by the names of their folders.
    #[arg(long, env = "RDPM_MODEL", value_name = "NAMES", value_delimiter = ',')]
    pub model: Vec<String>,
    /// Device to compute on: auto (a GPU if there is one and the program was built for it, otherwise the CPU), cpu, cuda
    /// or cuda:N (NVIDIA), gpu or gpu:N (any GPU through Vulkan, Metal or Direct3D 12). `serve` uses several if they are
    /// separated by commas, as in gpu:0,gpu:1. `rdpm devices` lists them.
    #[arg(long, env = "RDPM_DEVICE", default_value = "auto")]
    pub device: String,
    /// Number format of the networks. bf16 is faster on a processor with AMX or AVX512-BF16 and on a GPU, f16 on a GPU; both draw
    /// a few codes differently. auto is the fastest of a CPU whose probabilities are nearly those of f32, and f32 on a GPU.
    #[arg(long, env = "RDPM_PRECISION", default_value = "f32", value_name = "NUMBERS",
        value_parser = PossibleValuesParser::new(["f32", "bf16", "f16", "auto"]).try_map(|name| PrecisionSetting::from_name(&name).ok_or("unknown")))]
    pub precision: PrecisionSetting,
    /// Passes through the denoiser that a step with guidance takes. In one pass, steps are nearly twice as fast, and pictures differ
    /// from those in two. It needs the file one-pass.safetensors; auto takes one pass where a model has it.
    #[arg(long, env = "RDPM_PASSES", default_value = "2", value_name = "NUMBER",
        value_parser = PossibleValuesParser::new(["1", "2", "auto"]).try_map(|name| PassCountSetting::from_name(&name).ok_or("unknown")))]
    pub passes: PassCountSetting,
}

/// The models to use, the default first, with what was read of each; and the unusable folders.
pub struct Chosen<T> {
    pub models: Vec<(PathBuf, T)>,
    pub bad: Vec<(PathBuf, anyhow::Error)>,
    /// Whether the models were named: then each must be usable.
    pub named: bool,
}

impl ModelArguments {
    /// Finds the models, of which one with an address is pulled.
    ///
    /// Fails where a named model is missing or unusable, and where there is none.
    pub fn choose(&self) -> anyhow::Result<Chosen<Config>> {
        let mut found = discover_models(&self.weights.folder(self.cache.as_deref())?)?;
        let named = self.names().next().is_some();
        if named {
            found = self.named(found)?;
        } else {
            found.sort_by_key(|found| found.name() != DEFAULT);
        }
        if found.is_empty() {
            return Err(self.none("no model", &found));
        }
        let models = found.into_iter().map(|found| (found.path, found.config)).collect();
        let all = Chosen { models, bad: Vec::new(), named };
        all.keep(|_, config| Ok(config?))
    }

    /// Loads the default model on this thread.
    pub fn load(&self) -> anyhow::Result<Model> {
        self.load_first(|_| true)
    }

    /// Loads the named model or, if none is named, the first one that knows words; the default model if none does.
    pub fn load_with_words(&self) -> anyhow::Result<Model> {
        let is_named = self.names().next().is_some();
        self.load_first(|config| is_named || config.has_words())
    }

    /// Loads the model of this name.
    pub fn load_named(&self, name: &str) -> anyhow::Result<Model> {
        let models = self.choose()?.models;
        let Some((folder, _)) = models.iter().find(|(_, config)| config.name == name) else {
            let known: Vec<&str> = models.iter().map(|(_, config)| config.name.as_str()).collect();
            bail!("the tokens are of the model {name:?}; there: {}", known.join(", "));
        };
        self.load_on(folder, &open_device(&self.device)?)
    }

    /// Loads the first model that is suitable, or else the default model.
    fn load_first(&self, is_suitable: impl Fn(&Config) -> bool) -> anyhow::Result<Model> {
        let models = self.choose()?.models;
        let suitable = models.iter().find(|(_, config)| is_suitable(config));
        let (folder, _) = suitable.or(models.first()).ok_or_else(|| self.none("no model", &[]))?;
        self.load_on(folder, &open_device(&self.device)?)
    }

    /// Loads the model of a folder onto a device, to compute as chosen.
    pub fn load_on(&self, folder: &Path, device: &ComputeDevice) -> anyhow::Result<Model> {
        let passes = self.passes.resolve(folder)?;
        let precision = self.precision.resolve(folder, device)?;
        Ok(Model::load_with(folder, device, Computation { precision, passes })?)
    }

    /// How the model of a folder is to compute: the same on all devices.
    pub fn computation_on(&self, folder: &Path, devices: &[String]) -> anyhow::Result<Computation> {
        let mut found: Option<Precision> = None;
        for name in devices {
            let precision = match self.precision {
                PrecisionSetting::Fixed(precision) => precision,
                setting => setting.resolve(folder, &open_device(name)?)?,
            };
            found =
                Some(if found.is_none_or(|found| found == precision) { precision } else { Precision::F32 });
        }
        Ok(Computation { precision: found.unwrap_or_default(), passes: self.passes.resolve(folder)? })
    }

    /// The names; an empty one, as from an empty environment variable, is ignored.
    fn names(&self) -> impl Iterator<Item = &String> {
        self.model.iter().filter(|name| !name.is_empty())
    }

    /// The named models, in that order.
    fn named(&self, mut found: Vec<ModelFolder>) -> anyhow::Result<Vec<ModelFolder>> {
        let mut chosen: Vec<ModelFolder> = Vec::new();
        for name in self.names() {
            let of_name = |found: &ModelFolder| found.name() == *name;
            if chosen.iter().any(of_name) {
                bail!("model {name:?} is named twice");
            }
            // An unusable folder is known by its own name, which may also be the name of a usable model.
            let good = found.iter().position(|found| found.config.is_ok() && of_name(found));
            match good.or_else(|| found.iter().position(of_name)) {
                Some(at) => chosen.push(found.remove(at)),
                None => {
                    found.append(&mut chosen);
                    return Err(self.none(&format!("no model {name:?}"), &found));
                }
            }
        }
        Ok(chosen)
    }

    fn none(&self, what: &str, found: &[ModelFolder]) -> anyhow::Error {
        let mut names: Vec<String> = found.iter().map(ModelFolder::name).collect();
        names.sort();
        let there = if names.is_empty() { "none".into() } else { names.join(", ") };
        let reason = format!("{what} in this folder; there: {there}");
        ModelError::Config { path: self.weights.to_string().into(), reason }.into()
    }
}

impl<T> Chosen<T> {
    /// Reads more of each model. Those for which that fails become unusable.
    ///
    /// Fails where a named model is unusable, and where none is left.
    pub fn keep<U>(self, mut look: impl FnMut(&Path, T) -> anyhow::Result<U>) -> anyhow::Result<Chosen<U>> {
        let (mut models, mut bad) = (Vec::new(), self.bad);
        for (folder, known) in self.models {
            match look(&folder, known) {
                Ok(more) => models.push((folder, more)),
                Err(error) if self.named => return Err(error),
                Err(error) => bad.push((folder, error)),
            }
        }
        if models.is_empty() {
            let reasons: Vec<String> = bad.iter().map(|(_, error)| format!("{error:#}")).collect();
            bail!("{}", reasons.join("; "));
        }
        Ok(Chosen { models, bad, named: self.named })
    }
}
