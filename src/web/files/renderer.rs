//! Renders pictures, and keeps recent ones.

use std::sync::Arc;

use axum::body::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::image_pool::ImagePool;
use super::render_options::{AnimationParameters, PictureDigest, RenderOptions};
use crate::engine::JobId;
use crate::picture::{AnimationFormat, PictureError};
use crate::web::access::LimitKey;
use crate::web::problem::Problem;

/// Rendered files that are kept, in bytes.
pub(in crate::web) const CACHE_CAPACITY: u64 = 64 << 20;
/// The size of most files, in bytes: for the cache's own tables.
const TYPICAL_FILE: u64 = 64 << 10;
/// Bytes that an entry takes beside its file.
const OVERHEAD: u64 = 256;

/// A rendered file: equal keys, equal files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum RenderKey {
    /// With the drawing of the image.
    Address(PictureDigest),
    Image {
        job: JobId,
        index: u32,
        options: RenderOptions,
    },
    Sheet {
        job: JobId,
        options: RenderOptions,
    },
    Animation {
        job: JobId,
        format: AnimationFormat,
        parameters: AnimationParameters,
    },
}

#[derive(Debug, Clone)]
struct Size;

impl Weighter<RenderKey, Bytes> for Size {
    fn weight(&self, _: &RenderKey, file: &Bytes) -> u64 {
        file.len() as u64 + OVERHEAD
    }
}

/// Renders on the threads of an [`ImagePool`], each picture once as long as it is cached. Cheap to clone.
#[derive(Clone)]
pub(in crate::web) struct Renderer {
    pool: ImagePool,
    cache: Arc<Cache<RenderKey, Bytes, Size>>,
}

impl Default for Renderer {
    fn default() -> Self {
        let items = (CACHE_CAPACITY / TYPICAL_FILE) as usize;
        // In one shard: several would each refuse files that are larger than their part of the capacity.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(items)
            .weight_capacity(CACHE_CAPACITY)
            .build();
        let cache = match options {
            Ok(options) => {
                Cache::with_options(options, Size, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            Err(_) => Cache::with_weighter(items, CACHE_CAPACITY, Size),
        };
        Self { pool: ImagePool::default(), cache: Arc::new(cache) }
    }
}

impl Renderer {
    /// Runs work of a client that takes `memory` bytes, without the cache.
    ///
    /// # Errors
    /// Those of [`ImagePool::run`].
    pub async fn run(
        &self,
        client: &LimitKey,
        memory: u64,
        work: impl FnOnce() -> Result<Vec<u8>, PictureError> + Send + 'static,
    ) -> Result<Bytes, Problem> {
        self.pool.run(client, memory, work).await.map(Bytes::from)
    }

    /// The cached file of an address, or what `draw` makes. Concurrent requests for the same file wait for the first.
    pub async fn get_or_draw(
        &self,
        digest: PictureDigest,
        draw: impl Future<Output = Result<Bytes, Problem>>,
    ) -> Result<Bytes, Problem> {
        self.get_or_render(&RenderKey::Address(digest), draw).await
    }

    /// The cached file, or what `render` makes. Concurrent requests for the same file wait for the first.
    pub(super) async fn get_or_render(
        &self,
        key: &RenderKey,
        render: impl Future<Output = Result<Bytes, Problem>>,
    ) -> Result<Bytes, Problem> {
        self.cache.get_or_insert_async(key, render).await
    }
}
