//! Who sends a request: an administrator of the test, a service account, or nobody.

use crate::status::Failure;
use crate::token::Judge;

pub(crate) const MASTERS: &str = "system:masters";

/// A user as the authorizer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    pub(crate) fn administrator() -> Self {
        Self { name: "admin".to_owned(), groups: vec![MASTERS.to_owned()] }
    }

    pub(crate) fn service_account(namespace: &str, name: &str) -> Self {
        let groups = ["system:serviceaccounts", "system:authenticated"].map(str::to_owned).to_vec();
        Self { name: format!("system:serviceaccount:{namespace}:{name}"), groups }
    }

    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// Reads a bearer token: the administrator's, or a service account's for the API server itself.
    pub(crate) fn of(bearer: Option<&str>, administrator: &str, judge: &Judge<'_>) -> Result<Self, Failure> {
        match bearer {
            None => {
                let groups = vec!["system:unauthenticated".to_owned()];
                Ok(Self { name: "system:anonymous".to_owned(), groups })
            }
            Some(token) if token == administrator => Ok(Self::administrator()),
            Some(token) => {
                let accepted = judge.judge(token, &[]).map_err(|_| Failure::unauthorized())?;
                let groups = accepted.user["groups"].as_array().cloned().unwrap_or_default();
                let groups = groups.iter().filter_map(|group| group.as_str()).map(str::to_owned).collect();
                Ok(Self { name: accepted.user["username"].as_str().unwrap_or_default().to_owned(), groups })
            }
        }
    }
}
