//! Where jobs are drawn: by the engine of this process, or by workers on other machines. [`AnyEngine`] is all that the layers
//! above see of it.

mod any_engine;

pub use any_engine::AnyEngine;
