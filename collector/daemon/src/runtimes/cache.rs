//! What an engine said of its containers, bounded, and kept a while after they are gone.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// Containers that are remembered; of more, the oldest are forgotten.
const MOST: usize = 4096;

/// What an engine says of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) name: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) image_id: Option<String>,
    pub(crate) image_digests: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) hostname: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) restart_count: Option<u64>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) log_driver: Option<String>,
    pub(crate) pod_name: Option<String>,
    pub(crate) pod_namespace: Option<String>,
    pub(crate) pod_uid: Option<String>,
    pub(crate) pod_container: Option<String>,
}

/// Containers by full id.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    known: HashMap<String, Facts>,
    /// In the order in which they became known.
    order: VecDeque<String>,
}

impl Cache {
    /// Remembers what is known of a container now.
    pub(crate) fn learn(&mut self, id: String, facts: Facts) {
        if self.known.insert(id.clone(), facts).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// What is known of a container.
    pub(crate) fn get(&self, id: &str) -> Option<&Facts> {
        self.known.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_news_replaces() {
        let mut cache = Cache::default();
        for number in 0..MOST + 10 {
            cache.learn(number.to_string(), Facts::default());
        }
        assert_eq!((cache.known.len(), cache.order.len()), (MOST, MOST));
        assert!(cache.get("9").is_none() && cache.get("10").is_some());
        let facts = Facts {
            name: Some("new".to_owned()),
            ..Facts::default()
        };
        cache.learn("10".to_owned(), facts.clone());
        assert_eq!((cache.get("10"), cache.order.len()), (Some(&facts), MOST));
    }
}
