//! Running other programs: as the user, with a time limit, or as root.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// Where Debian keeps administrators' programs, which an ordinary user's `PATH` lacks.
const SBIN: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Finds a program in `PATH`, or where only root's `PATH` leads.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SBIN.iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| is_executable(candidate))
}

/// Whether a regular file can be executed by somebody.
pub fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Runs to success with the caller's terminal, or says which command failed and how.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", describe(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", describe(command));
    }
    Ok(())
}

/// Runs to success and returns standard output; standard error goes into the error.
pub fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", describe(command)))?;
    if !output.status.success() {
        bail!("{} failed ({}): {}", describe(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a person would type to run the command.
pub fn describe(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect();
    words.join(" ")
}

/// A word as a shell reads it back.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A command that ends by itself when its time is up, if the machine has coreutils' `timeout`.
pub fn limited(limit: Duration, program: impl AsRef<OsStr>) -> Command {
    let Some(timeout) = find("timeout") else { return Command::new(program) };
    let mut command = Command::new(timeout);
    // In the foreground, so that Ctrl-C reaches the program as well.
    command.args(["--foreground", "-k", "10"]).arg(limit.as_secs().to_string()).arg(program);
    command
}

/// Whether this process has root's user id.
pub fn is_root() -> bool {
    effective_ids(&fs::read_to_string("/proc/self/status").unwrap_or_default()) == Some(0)
}

fn effective_ids(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

/// Whether [`elevated`] can succeed.
pub fn can_elevate() -> bool {
    is_root() || find("sudo").is_some()
}

/// The same program, arguments and added environment, as root: directly, or through `sudo`.
///
/// # Errors
/// When this is neither root nor a machine with `sudo`; the message is the command to run as root.
pub fn elevated(command: &Command) -> Result<Command> {
    let variables: Vec<_> = command.get_envs().filter_map(|(key, value)| Some((key, value?))).collect();
    let mut result = if is_root() {
        let mut result = Command::new(command.get_program());
        result.envs(variables);
        result
    } else if let Some(sudo) = find("sudo") {
        let mut result = Command::new(sudo);
        if !std::io::stdin().is_terminal() {
            result.arg("-n");
        }
        // sudo resets the environment, so what the program needs goes on the command line.
        result.arg("env");
        for (key, value) in variables {
            let mut assignment = key.to_owned();
            assignment.push("=");
            assignment.push(value);
            result.arg(assignment);
        }
        result.arg(command.get_program());
        result
    } else {
        bail!("this needs root and there is no sudo here; as root, run: {}", describe(command));
    };
    result.args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        result.current_dir(directory);
    }
    Ok(result)
}

/// Says so when somebody typed `sudo cargo xtask`: what is built would belong to root.
pub fn warn_if_under_sudo() {
    let invoker = env::var("SUDO_UID").ok().filter(|uid| uid != "0");
    if is_root() && invoker.is_some() {
        eprintln!(
            "note: running under sudo, so everything that is built will belong to root. Run `cargo xtask …` as \
             yourself: it asks for root where it needs it."
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_is_the_second_number() {
        assert_eq!(effective_ids("Name:\tx\nUid:\t1000\t0\t1000\t1000\nGid:\t1\n"), Some(0));
        assert_eq!(effective_ids("Name:\tx\n"), None);
    }

    #[test]
    fn a_described_command_can_be_pasted_into_a_shell() {
        let mut command = Command::new("apt-get");
        command.args(["install", "it's", "--cfg", "bpf_target_arch=\"arm\""]);
        assert_eq!(describe(&command), r#"apt-get install 'it'\''s' --cfg 'bpf_target_arch="arm"'"#);
    }

    #[test]
    fn a_failing_command_is_named_with_its_error_output() {
        let error = capture(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c 'echo broken >&2; exit 3'") && error.ends_with(": broken"), "{error}");
    }

    #[test]
    fn a_limited_command_that_hangs_is_ended() {
        let error = run(limited(Duration::from_secs(1), "sleep").arg("60")).unwrap_err().to_string();
        assert!(error.contains("failed"), "{error}");
    }
}
