//! The Model Context Protocol, with which assistants use tools. The crate `rmcp` speaks it; the tools are here.
//!
//! | file | contents |
//! |---|---|
//! | `http` | `/mcp`: streamable HTTP without sessions, behind the middleware of all routes |
//! | `message` | what is read of a message before the crate reads it |
//! | `assistant_tools` | the server of the crate: what it can do, and which file does it |
//! | `tool_list` | the tools with the schemas of their arguments |
//! | `draw`, `tokenize`, `models` | the tools |
//! | `drawing` | a job until its pictures are done, with progress |
//! | `resources` | pictures by their addresses, `rdpm://…` |
//! | `arguments`, `content` | reading arguments, and writing results and errors |
//! | `caller`, `running_calls` | who calls, and calls that can be canceled |
//!
//! `rdpm mcp` serves the same tools on standard input and output. <https://modelcontextprotocol.io/specification>

mod arguments;
mod assistant_tools;
mod caller;
mod content;
mod draw;
mod drawing;
mod http;
mod message;
mod models;
mod resources;
mod running_calls;
mod tokenize;
mod tool_list;

pub use assistant_tools::AssistantTools;
pub(super) use http::routes;
