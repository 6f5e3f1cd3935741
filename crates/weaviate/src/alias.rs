//! Aliases: second names of classes. Deleting a class leaves them, leading nowhere; a new class of the same name is what
//! they lead to again, at every node (measured on 1.35.2 and 1.38.2).

use serde::Deserialize;

use crate::client::Client;
use crate::error::WeaviateError;
use crate::rest::{Rest, or_default};

#[derive(Deserialize)]
struct Aliases {
    #[serde(default, deserialize_with = "or_default")]
    aliases: Vec<Alias>,
}

#[derive(Deserialize)]
struct Alias {
    alias: String,
    class: String,
}

impl Client {
    /// `GET /v1/aliases?class=`: names of the aliases that lead to this class, sorted; none while the class is gone,
    /// although the aliases are there (seen on both versions).
    pub async fn aliases(&self, class: &str) -> Result<Vec<String>, WeaviateError> {
        let Aliases { aliases } = self.json(Rest::get(&["aliases"]).query("class", class)).await?;
        let mut names: Vec<String> =
            aliases.into_iter().filter(|alias| alias.class == class).map(|alias| alias.alias).collect();
        names.sort();
        Ok(names)
    }

    /// `GET /v1/aliases/{alias}`: the class that it leads to, there or not; `None` when there is no such alias.
    pub async fn alias(&self, name: &str) -> Result<Option<String>, WeaviateError> {
        let alias: Option<Alias> = self.optional(Rest::get(&["aliases", name])).await?;
        Ok(alias.map(|alias| alias.class))
    }
}
