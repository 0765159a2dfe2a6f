//! From host, path and method to the revision that answers.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use spillway_types::Route;

/// All routes of a node. Immutable: a deployment builds another and swaps it in, so that a request sees one or the other.
#[derive(Debug)]
pub(crate) struct RouteTable<T> {
    by_host: HashMap<String, HostRoutes<T>>,
    any_host: HostRoutes<T>,
}

type HostRoutes<T> = matchit::Router<Entry<T>>;

#[derive(Debug, Clone)]
struct Entry<T> {
    methods: Arc<[Method]>,
    target: T,
}

/// What became of a look-up.
#[derive(Debug, PartialEq)]
pub(crate) enum Lookup<T> {
    /// The revision.
    Found(T),
    /// There is a route, but not for the method; these are taken.
    MethodNotAllowed(Arc<[Method]>),
    /// No route.
    Unknown,
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self { by_host: HashMap::new(), any_host: HostRoutes::new() }
    }
}

impl<T: Clone> RouteTable<T> {
    /// Adds a route.
    ///
    /// # Errors
    /// If another route of the same host has the same pattern.
    pub(crate) fn insert(&mut self, route: &Route, target: T) -> Result<(), String> {
        let routes = match &route.pattern.host {
            Some(host) => self.by_host.entry(host.clone()).or_default(),
            None => &mut self.any_host,
        };
        let methods: Arc<[Method]> = route.methods.iter().filter_map(|method| method.parse().ok()).collect();
        let entry = Entry { methods, target };
        let refuse = |error: matchit::InsertError| format!("route `{}`: {error}", route.pattern);
        match route.pattern.path.strip_suffix("/*") {
            // Everything below, and the path itself with and without a slash: what people mean by `/files/*`.
            Some(base) => {
                routes.insert(format!("{base}/{{*rest}}"), entry.clone()).map_err(refuse)?;
                let _ = routes.insert(format!("{base}/"), entry.clone());
                if !base.is_empty() {
                    let _ = routes.insert(base.to_owned(), entry);
                }
                Ok(())
            }
            None => {
                // An exact route wins over the bare path that a wildcard claimed before it.
                let path = route.pattern.path.clone();
                if routes.at(&path).is_ok() {
                    let _ = routes.remove(path.as_str());
                }
                routes.insert(path, entry).map_err(refuse)
            }
        }
    }

    /// Finds who answers. Routes of the host itself come before those of any host; exact ones before wildcards.
    pub(crate) fn find(&self, host: Option<&str>, path: &str, method: &Method) -> Lookup<T> {
        let own = host.filter(|_| !self.by_host.is_empty()).and_then(|host| {
            let host = host.rsplit_once(':').map_or(host, |(name, _port)| name).to_ascii_lowercase();
            self.by_host.get(&host)?.at(path).ok()
        });
        let Some(found) = own.or_else(|| self.any_host.at(path).ok()) else { return Lookup::Unknown };
        let Entry { methods, target } = found.value;
        // Who answers GET answers HEAD: the server leaves the body out (RFC 9110, section 9.3.2).
        let head = *method == Method::HEAD && methods.contains(&Method::GET);
        if methods.is_empty() || head || methods.contains(method) {
            Lookup::Found(target.clone())
        } else {
            Lookup::MethodNotAllowed(methods.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use spillway_types::RoutePattern;

    use super::*;

    fn table(routes: &[(Option<&str>, &str, &[&str])]) -> RouteTable<usize> {
        let mut table = RouteTable::default();
        for (index, (host, path, methods)) in routes.iter().enumerate() {
            let pattern = RoutePattern { host: host.map(str::to_owned), path: (*path).to_owned() };
            let methods = methods.iter().map(|m| (*m).to_owned()).collect();
            table.insert(&Route { pattern, methods, auth: None }, index).unwrap();
        }
        table
    }

    #[test]
    fn exact_routes_win_over_wildcards_in_any_order() {
        for order in [["/a/*", "/a"], ["/a", "/a/*"]] {
            let table = table(&[(None, order[0], &[]), (None, order[1], &[])]);
            let exact = usize::from(order[1] == "/a");
            assert_eq!(table.find(None, "/a", &Method::GET), Lookup::Found(exact), "{order:?}");
            assert_eq!(table.find(None, "/a/b/c", &Method::GET), Lookup::Found(1 - exact));
            assert_eq!(table.find(None, "/a/", &Method::GET), Lookup::Found(1 - exact));
        }
    }

    #[test]
    fn a_wildcard_at_the_root_takes_everything() {
        let table = table(&[(None, "/*", &[])]);
        for path in ["/", "/a", "/a/b"] {
            assert_eq!(table.find(None, path, &Method::GET), Lookup::Found(0), "{path}");
        }
    }

    #[test]
    fn a_host_of_its_own_comes_before_any_host() {
        let table = table(&[(None, "/a", &[]), (Some("x.example"), "/a", &[]), (Some("x.example"), "/b", &[])]);
        assert_eq!(table.find(Some("X.example:3000"), "/a", &Method::GET), Lookup::Found(1));
        assert_eq!(table.find(Some("y.example"), "/a", &Method::GET), Lookup::Found(0));
        assert_eq!(table.find(Some("y.example"), "/b", &Method::GET), Lookup::Unknown);
    }

    #[test]
    fn methods_are_checked_and_get_covers_head() {
        let table = table(&[(None, "/a", &["GET"])]);
        assert_eq!(table.find(None, "/a", &Method::HEAD), Lookup::Found(0));
        assert_eq!(table.find(None, "/a", &Method::POST), Lookup::MethodNotAllowed([Method::GET].into()));
    }
}
