//! An extension provider as the filter that asks it.

use serde_json::{Map, Value, json};

use super::custom::CustomOptions;
use super::scalar::{duration, status_name};
use super::{Chain, Filter, FilterConfig, HTTP_EXT_AUTHZ, HTTP_RBAC, NETWORK_EXT_AUTHZ, NETWORK_RBAC, TCP_STAT_PREFIX};
use crate::model::Provider;
use crate::source::{Node, Value as Written};

/// How long an answer may take where the provider does not say.
const DEFAULT_TIMEOUT: &str = "600s";

/// Why a provider cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// More than one provider for a workload.
    #[error("one workload has CUSTOM policies with more than one provider")]
    Several,
    /// The mesh has none of that name.
    #[error("the mesh has no extension provider `{name}`")]
    Unknown {
        /// The name in the policy.
        name: String,
    },
    /// The mesh has one, which cannot be asked.
    #[error("extension provider `{name}`: {why}")]
    Invalid {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The filter that asks provider `name` about what the filter before it found under `marker`; `None` where this chain
/// has no use for a provider that speaks HTTP.
pub(super) fn filter(
    name: &str,
    marker: &str,
    chain: Chain,
    custom: &CustomOptions<'_>,
) -> Result<Option<Filter>, ProviderError> {
    let found = custom.providers.iter().find(|provider| &*provider.name.value == name);
    let invalid = |why: String| ProviderError::Invalid { name: name.to_owned(), why };
    let settings = match found.map(|found| &found.provider) {
        None => return Err(ProviderError::Unknown { name: name.to_owned() }),
        Some(Provider::Other) => return Err(invalid("it is no external authorization service".to_owned())),
        Some(Provider::Http { settings }) => Settings { node: settings, is_http: true },
        Some(Provider::Grpc { settings }) => Settings { node: settings, is_http: false },
    };
    let mut config = settings.config(chain, custom).map_err(invalid)?;
    if chain == Chain::Tcp && settings.is_http {
        return Ok(None);
    }
    let rbac = if chain == Chain::Http { HTTP_RBAC } else { NETWORK_RBAC };
    let enabled = json!({
        "filter": rbac,
        "path": [{"key": "istio_ext_authz_shadow_effective_policy_id"}],
        "value": {"stringMatch": {"prefix": marker}},
    });
    config.insert("filterEnabledMetadata".to_owned(), enabled);
    Ok(Some(match chain {
        Chain::Http => Filter { name: HTTP_EXT_AUTHZ.to_owned(), typed_config: FilterConfig::HttpExtAuthz(config) },
        Chain::Tcp => {
            Filter { name: NETWORK_EXT_AUTHZ.to_owned(), typed_config: FilterConfig::NetworkExtAuthz(config) }
        }
    }))
}

/// What is wrong, in words.
type Wrong = String;

/// The settings of one provider, as they were written.
struct Settings<'n> {
    node: &'n Node,
    is_http: bool,
}

impl Settings<'_> {
    fn config(&self, chain: Chain, custom: &CustomOptions<'_>) -> Result<Map<String, Value>, Wrong> {
        let host = self.host(custom)?;
        let port = self.number("port")?.filter(|port| (1..=65535).contains(port));
        let port = port.ok_or("`port` must be from 1 to 65535")?;
        let cluster = format!("outbound|{port}||{host}");
        let timeout = match self.text("timeout")? {
            None => DEFAULT_TIMEOUT.to_owned(),
            Some(text) => duration(&text).ok_or_else(|| format!("`{text}` is no duration such as `0.5s`"))?,
        };
        let mut config = Map::new();
        config.insert("transportApiVersion".to_owned(), json!("V3"));
        if self.flag("failOpen")? {
            config.insert("failureModeAllow".to_owned(), json!(true));
        }
        let status = self.status()?;
        let (body, path_prefix) = (self.body()?, self.path_prefix()?);
        if self.is_http {
            let service = self.http_service(&host, &cluster, &timeout, path_prefix)?;
            config.insert("httpService".to_owned(), service);
            config.extend(self.request_headers()?.map(|headers| ("allowedHeaders".to_owned(), headers)));
        } else {
            let service = json!({"envoyGrpc": {"clusterName": cluster, "authority": host}, "timeout": timeout});
            config.insert("grpcService".to_owned(), service);
        }
        match chain {
            Chain::Tcp => {
                config.insert("statPrefix".to_owned(), json!(TCP_STAT_PREFIX));
            }
            Chain::Http => {
                config.extend(status.map(|status| ("statusOnError".to_owned(), json!({"code": status}))));
                config.extend(body.map(|body| ("withRequestBody".to_owned(), body)));
                if self.flag("clearRouteCache")? {
                    config.insert("clearRouteCache".to_owned(), json!(true));
                }
            }
        }
        Ok(config)
    }

    /// `[NAMESPACE/]HOST`, of a service that exists.
    fn host(&self, custom: &CustomOptions<'_>) -> Result<String, Wrong> {
        let service = self.text("service")?.filter(|service| !service.is_empty()).ok_or("`service` is missing")?;
        let (namespace, host) = match service.split_once('/') {
            Some((namespace, host)) => (Some(namespace), host),
            None => (None, service.as_str()),
        };
        let exists = custom.services.is_none_or(|services| {
            let here = |own: &str| namespace.is_none_or(|namespace| namespace == own);
            services.iter().any(|known| &*known.hostname == host && here(&known.namespace))
        });
        if exists { Ok(host.to_owned()) } else { Err(format!("there is no service `{service}`")) }
    }

    fn http_service(&self, host: &str, cluster: &str, timeout: &str, prefix: Option<String>) -> Result<Value, Wrong> {
        let uri = json!({"uri": format!("http://{host}"), "cluster": cluster, "timeout": timeout});
        let mut service = Map::from_iter([("serverUri".to_owned(), uri)]);
        service.extend(prefix.map(|prefix| ("pathPrefix".to_owned(), json!(prefix))));
        if let Some(Written::Map(entries)) = self.value("includeAdditionalHeadersInCheck") {
            let mut headers: Vec<(&str, &str)> = Vec::new();
            for entry in entries {
                let value = entry.node.as_text().ok_or_else(|| format!("header `{}` wants a string", entry.key))?;
                headers.push((&entry.key, value));
            }
            headers.sort_unstable();
            let headers: Vec<Value> = headers.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
            if !headers.is_empty() {
                service.insert("authorizationRequest".to_owned(), json!({"headersToAdd": headers}));
            }
        }
        let mut response = Map::new();
        for (ours, theirs) in [
            ("headersToUpstreamOnAllow", "allowedUpstreamHeaders"),
            ("headersToDownstreamOnDeny", "allowedClientHeaders"),
            ("headersToDownstreamOnAllow", "allowedClientHeadersOnSuccess"),
        ] {
            response.extend(self.headers(ours)?.map(|headers| (theirs.to_owned(), headers)));
        }
        if !response.is_empty() {
            service.insert("authorizationResponse".to_owned(), Value::Object(response));
        }
        Ok(Value::Object(service))
    }

    /// The newer setting wins over the one that it replaced.
    fn request_headers(&self) -> Result<Option<Value>, Wrong> {
        let (new, old) = (self.headers("includeRequestHeadersInCheck")?, self.headers("includeHeadersInCheck")?);
        Ok(new.or(old))
    }

    /// A list of header names with a star at either end.
    fn headers(&self, name: &str) -> Result<Option<Value>, Wrong> {
        let Some(Written::List(items)) = self.value(name) else { return Ok(None) };
        let mut patterns = Vec::new();
        for item in items {
            let text = item.as_text().ok_or_else(|| format!("`{name}` wants strings"))?;
            patterns.push(match (text.strip_prefix('*'), text.strip_suffix('*')) {
                (Some(""), _) => return Err(format!("`{name}` may not hold a lone `*`")),
                (Some(suffix), _) => json!({"suffix": suffix, "ignoreCase": true}),
                (None, Some(prefix)) => json!({"prefix": prefix, "ignoreCase": true}),
                (None, None) => json!({"exact": text, "ignoreCase": true}),
            });
        }
        Ok((!patterns.is_empty()).then(|| json!({"patterns": patterns})))
    }

    fn status(&self) -> Result<Option<&'static str>, Wrong> {
        let Some(text) = self.text("statusOnError")?.filter(|text| !text.is_empty()) else { return Ok(None) };
        let known = text.parse().ok().and_then(status_name);
        known.map(Some).ok_or_else(|| format!("`{text}` is no status that Envoy knows"))
    }

    fn path_prefix(&self) -> Result<Option<String>, Wrong> {
        let Some(text) = self.text("pathPrefix")?.filter(|text| !text.is_empty()) else { return Ok(None) };
        if text.starts_with('/') && !text.contains(['?', '#']) {
            Ok(Some(text))
        } else {
            Err(format!("`{text}` is no path that begins with `/`"))
        }
    }

    fn body(&self) -> Result<Option<Value>, Wrong> {
        let Some(node) = self.node.get("includeRequestBodyInCheck") else { return Ok(None) };
        let inner = Settings { node, is_http: self.is_http };
        let mut body = Map::new();
        if let Some(max) = inner.number("maxRequestBytes")? {
            body.insert("maxRequestBytes".to_owned(), json!(max));
        }
        for name in ["allowPartialMessage", "packAsBytes"] {
            if inner.flag(name)? {
                body.insert(name.to_owned(), json!(true));
            }
        }
        Ok(Some(Value::Object(body)))
    }

    /// A field, unless it is absent or null.
    fn value(&self, name: &str) -> Option<&Written> {
        self.node.get(name).map(|node| &node.value).filter(|value| **value != Written::Null)
    }

    fn text(&self, name: &str) -> Result<Option<String>, Wrong> {
        match self.value(name) {
            None => Ok(None),
            Some(Written::Text(text) | Written::Number(text)) => Ok(Some(text.to_string())),
            Some(_) => Err(format!("`{name}` wants a string")),
        }
    }

    fn number(&self, name: &str) -> Result<Option<u32>, Wrong> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| format!("`{name}` wants a number")),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, Wrong> {
        match self.value(name) {
            None => Ok(false),
            Some(Written::Bool(flag)) => Ok(*flag),
            Some(_) => Err(format!("`{name}` wants `true` or `false`")),
        }
    }
}
