//! The id of a document: computed from its key alone, so that a replay writes the same object again.

use uuid::Uuid;

/// The id of the document at `repo` and `path` in a collection.
///
/// What Weaviate's clients call `generate_uuid5("<repo>:<path>", "<Collection>")`. In `repo`, `%` and `:` are
/// percent-encoded, so that the first `:` always ends it: without that, repo `a` with path `b:c` and repo `a:b` with
/// path `c` would be one object.
pub fn document_id(collection: &str, repo: &str, path: &str) -> Uuid {
    let mut name = String::with_capacity(collection.len() + repo.len() + path.len() + 1);
    name.push_str(collection);
    for character in repo.chars() {
        match character {
            '%' => name.push_str("%25"),
            ':' => name.push_str("%3A"),
            other => name.push(other),
        }
    }
    name.push(':');
    name.push_str(path);
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python: `str(uuid.uuid5(uuid.NAMESPACE_DNS, collection + repo + ":" + path))`.
    const VECTORS: [(&str, &str, &str, &str); 6] = [
        ("Articles", "git/linux", "README", "1a6d42ea-4b76-5ff6-aef4-c9dfd55339b0"),
        ("Articles", "a", "b:c", "bdc93cc2-b208-5f97-99cb-b3e93cffc413"),
        ("Articles", "a:b", "c", "063f513b-39a1-57f9-867d-343db5e72009"),
        ("Articles", "50%", "x", "75a7a512-6c2d-57fa-abc2-3a02067af053"),
        ("Code_2", "größe/数", "docs/naïve – ünï.md", "f36f4f68-7608-567f-9245-1036ca4dad9a"),
        ("Articles", "a%3Ab", "c", "baee5dd7-6f48-5706-bd81-da47daae91f5"),
    ];

    #[test]
    fn equals_what_pythons_clients_compute() {
        for (collection, repo, path, id) in VECTORS {
            assert_eq!(document_id(collection, repo, path).to_string(), id, "{collection} {repo} {path}");
        }
    }

    #[test]
    fn a_colon_cannot_move_between_repo_and_path() {
        assert_ne!(document_id("Articles", "a", "b:c"), document_id("Articles", "a:b", "c"));
        assert_ne!(document_id("Articles", "a:b", "c"), document_id("Articles", "a%3Ab", "c"));
    }
}
