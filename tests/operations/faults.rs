//! A thread of the program that stands still: whichever it is, the process exits with status 1, and a supervisor starts it again.
//!
//! The program has no hooks for this. The test stops single threads of it as a debugger does (ptrace).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Program, rdpm};
use crate::restart::{Weights, status, wait_for};

/// Threads of a process that stand still until the process ends. Only the thread that stopped them may use this.
struct Frozen {
    process: u32,
    threads: Vec<libc::pid_t>,
}

impl Frozen {
    /// Stops the threads whose names begin with `name`. `None` where the system doesn't allow that.
    fn stop(process: u32, name: &str) -> Option<Self> {
        let mut frozen = Self { process, threads: Vec::new() };
        for entry in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
            let folder = entry.unwrap().path();
            // A thread may have ended.
            let Ok(thread_name) = fs::read_to_string(folder.join("comm")) else { continue };
            if thread_name.starts_with(name) {
                let thread = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
                frozen.threads.push(thread);
                if !interrupt(thread) {
                    return None;
                }
            }
        }
        assert!(!frozen.threads.is_empty(), "no thread {name}");
        Some(frozen)
    }

    /// Waits until the process has ended. A stopped thread that is killed is gone only when its tracer has waited for it.
    fn wait_for_end(&self, name: &str) {
        let started = Instant::now();
        let is_gone = || {
            let state = fs::read_to_string(format!("/proc/{}/stat", self.process));
            state.map_or(true, |state| state.rsplit(") ").next().unwrap().starts_with(['Z', 'X']))
        };
        while !is_gone() {
            for &thread in &self.threads {
                // SAFETY: a null pointer stands for a status that isn't wanted.
                unsafe { libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
            }
            assert!(started.elapsed() < Duration::from_secs(60), "the process doesn't end: {name}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Stops a thread of a child process. Returns whether the system allows that.
fn interrupt(thread: libc::pid_t) -> bool {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests read and write no memory of this process.
    unsafe {
        libc::ptrace(libc::PTRACE_SEIZE, thread, none, none) == 0
            && libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none) == 0
            && libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL) == thread
    }
}

/// The names of threads: the engine's, those that encode pictures and publish steps, and those of the event loop.
const THREADS: [&str; 4] = ["rdpm-worker-0", "rdpm-janitor", "rdpm-encoder", "tokio-"];

#[tokio::test]
async fn a_thread_that_stands_still_ends_the_process_with_status_1() {
    for name in THREADS {
        let weights = Weights::new();
        let (arguments, address) = weights.serve(&["--step-timeout", "1", "--drain-timeout", "1"]);
        let mut server = Program(rdpm().args(arguments).stderr(Stdio::null()).spawn().unwrap());
        wait_for(&address, "/health/ready", 200).await;
        let process = server.0.id();
        let ended = tokio::task::spawn_blocking({
            let address = address.clone();
            move || {
                let frozen = Frozen::stop(process, name)?;
                // Threads that only wait may do so: work makes it visible that they stand still.
                draw(&address);
                frozen.wait_for_end(name);
                Some(())
            }
        });
        if ended.await.unwrap().is_none() {
            eprintln!("skipped: the system doesn't allow to stop threads");
            return;
        }
        assert_eq!(status(&mut server.0), Some(1), "{name}");
    }
}

/// Asks for a picture and reads no answer, which may never come.
fn draw(address: &str) {
    use std::io::Write;
    let body = r#"{"class":0}"#;
    let head = "POST /api/v1/generations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    write!(connection, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = std::io::Read::read(&mut connection, &mut [0; 1]);
}

#[tokio::test]
async fn a_server_that_is_killed_is_started_again() {
    let weights = Weights::new();
    let (arguments, address) = weights.serve(&["--step-timeout", "1", "--drain-timeout", "1"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operations/supervisor.sh");
    let program = rdpm();
    let mut command = Command::new("sh");
    command.arg(script).arg(program.get_program()).args(arguments);
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut supervisor = Program(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(supervisor.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |prefix: &str| {
        let line = lines.find(|line| line.starts_with(prefix)).unwrap();
        line[prefix.len()..].trim().parse::<u32>().unwrap()
    };
    let kill = |signal: &str, process: u32| {
        assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
    };

    let first = next("started");
    wait_for(&address, "/health/ready", 200).await;
    // As the system does when memory runs out.
    kill("-KILL", first);
    assert_eq!(next("ended with"), 128 + 9);
    let second = next("started");
    assert_ne!(first, second);
    wait_for(&address, "/health/ready", 200).await;
    kill("-TERM", second);
    assert_eq!(next("ended with"), 0);
    assert_eq!(status(&mut supervisor.0), Some(0));
}
