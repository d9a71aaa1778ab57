//! What a call does, by its name, in the terms of ECS.

/// What a call does to what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It makes something.
    Creation,
    /// It removes something.
    Deletion,
    /// It changes something.
    Change,
    /// It only reads.
    Access,
    /// It begins a session.
    SignIn,
}

/// The first words of names of calls, in lower case. Words that are not here change something.
const VERBS: [(Effect, &[&str]); 4] = [
    (
        Effect::Creation,
        &[
            "create", "run", "insert", "import", "register", "copy", "allocate", "request", "launch", "issue",
            "generate", "clone",
        ],
    ),
    (
        Effect::Deletion,
        &["delete", "terminate", "deregister", "remove", "release", "destroy", "purge", "cancel", "revoke"],
    ),
    (
        Effect::Access,
        &[
            "get",
            "list",
            "describe",
            "read",
            "lookup",
            "search",
            "query",
            "scan",
            "head",
            "download",
            "export",
            "batchget",
            "aggregatedlist",
            "test",
            "begingetaccess",
        ],
    ),
    (Effect::SignIn, &["consolelogin", "signin", "login", "assumerole", "getsessiontoken", "getfederationtoken"]),
];

impl Effect {
    /// What the call with this name does: `CreateVolume`, `microsoft.compute/disks/write`, `compute.disks.createSnapshot`.
    pub(super) fn of(action: &str) -> Self {
        // Azure's operations end with the verb, after the last slash, or before `action`.
        let action = action.strip_suffix("/action").unwrap_or(action);
        let verb = action.rsplit(['/', '.', ':']).next().unwrap_or(action);
        let lower = verb.to_ascii_lowercase();
        let is = |effect: Self| {
            let words = VERBS.iter().filter(move |(of, _)| *of == effect).flat_map(|(_, words)| *words);
            words.into_iter().any(|word| is_word(verb, &lower, word))
        };
        [Self::SignIn, Self::Creation, Self::Deletion, Self::Access].into_iter().find(|effect| is(*effect)).unwrap_or(
            // Azure's `write` creates or updates, and most rules ask for creations.
            if lower == "write" { Self::Creation } else { Self::Change },
        )
    }

    /// ECS `event.category` and `event.type` (ECS 8.17, "event.category" and its expected types).
    pub(super) fn ecs(self) -> (&'static str, &'static str) {
        match self {
            Self::Creation => ("configuration", "creation"),
            Self::Deletion => ("configuration", "deletion"),
            Self::Change => ("configuration", "change"),
            Self::Access => ("configuration", "access"),
            Self::SignIn => ("authentication", "start"),
        }
    }
}

/// Whether a name begins with a word: `runInstances` with `run`, but not `running`.
fn is_word(name: &str, lower: &str, word: &str) -> bool {
    let next = name.as_bytes().get(word.len());
    lower.starts_with(word) && next.is_none_or(|next| !next.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::Effect;

    #[test]
    fn the_effect_follows_from_the_first_word() {
        for (action, effect) in [
            ("RunInstances", Effect::Creation),
            ("CreateVolume", Effect::Creation),
            ("DeleteDetector", Effect::Deletion),
            ("TerminateInstances", Effect::Deletion),
            ("ModifySnapshotAttribute", Effect::Change),
            ("DescribeInstances", Effect::Access),
            ("Getaway", Effect::Change),
            ("ConsoleLogin", Effect::SignIn),
            ("AssumeRoleWithSAML", Effect::SignIn),
            ("microsoft.compute/virtualmachines/write", Effect::Creation),
            ("microsoft.compute/disks/delete", Effect::Deletion),
            ("microsoft.compute/snapshots/begingetaccess/action", Effect::Access),
            ("microsoft.compute/virtualmachines/start/action", Effect::Change),
            ("compute.disks.createSnapshot", Effect::Creation),
            ("compute.instances.insert", Effect::Creation),
            ("compute.instances.setMetadata", Effect::Change),
            ("google.iam.admin.v1.CreateServiceAccountKey", Effect::Creation),
        ] {
            assert_eq!(Effect::of(action), effect, "{action}");
        }
    }
}
