//! The manifests that users begin with: what they say about ports, paths, names and settings is what the program does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use signet_ca::cli::DAEMON;
use signet_ca::config::{AuthoritySource, CaConfig, ISTIO, SETTINGS};
use signet_testkit::temp_dir;

use crate::kubernetes::manifest;
use crate::lab::Lab;

const POD_NAME: &str = "signet-ca-5d8f";

/// The objects of a manifest.
pub(crate) fn documents(name: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&manifest(name)).unwrap();
    documents.into_iter().filter(Value::is_object).collect()
}

fn object(kind: &str) -> Value {
    let all = [documents("signet-ca.yaml"), documents("rbac.yaml")].concat();
    all.into_iter().find(|object| object["kind"] == kind).expect(kind)
}

fn pod() -> Value {
    object("Deployment")["spec"]["template"]["spec"].clone()
}

fn container() -> Value {
    let pod = pod();
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    containers[0].clone()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("`{value}` should be text"))
}

/// The settings as a pod of the Deployment reads them.
fn config() -> CaConfig {
    let dir = temp_dir();
    let file = dir.path().join("ca.toml");
    fs::write(&file, text(&object("ConfigMap")["data"]["ca.toml"])).unwrap();
    let args = list(&container()["args"]);
    let words = args.iter().map(|word| match text(word) {
        "/etc/signet/ca.toml" => file.to_str().unwrap().to_owned(),
        word => word.to_owned(),
    });
    let matches = DAEMON.command().try_get_matches_from(["signet-ca".to_owned()].into_iter().chain(words)).unwrap();
    let environment = list(&container()["env"]);
    let layers = DAEMON.layers(matches.subcommand_matches("run").unwrap(), |name| match name {
        // Kubelet gives these to every pod.
        "KUBERNETES_SERVICE_HOST" => Some("10.96.0.1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
        name => {
            let found = environment.iter().find(|variable| variable["name"] == name)?;
            match text(&found["valueFrom"]["fieldRef"]["fieldPath"]) {
                "metadata.name" => Some(POD_NAME.to_owned()),
                "metadata.namespace" => Some(text(&object("Deployment")["metadata"]["namespace"]).to_owned()),
                other => panic!("{other}"),
            }
        }
    });
    let (config, effective) = CaConfig::read(layers).unwrap();
    assert_eq!(effective.remarks, [], "nothing is passed over");
    config
}

#[test]
fn the_deployments_settings_are_good_and_every_environment_name_is_one_that_is_read() {
    let config = config();
    let kubernetes = config.kubernetes.unwrap();
    assert_eq!((kubernetes.replica.as_str(), kubernetes.namespace.as_str()), (POD_NAME, "istio-system"));
    for variable in list(&container()["env"]) {
        let name = text(&variable["name"]).to_owned();
        let is_setting = SETTINGS.iter().any(|setting| setting.environment == Some(name.as_str()));
        assert!(is_setting && ISTIO.iter().all(|foreign| foreign.name != name), "{name}");
    }
}

#[test]
fn ports_of_container_service_and_settings_are_the_same() {
    let config = config();
    let wanted = [("grpc-ca", config.listen.port()), ("http-monitoring", config.admin_listen.port())];
    let of = |ports: &Value, number: &str| -> Vec<(String, u16)> {
        let port =
            |port: &Value| (text(&port["name"]).to_owned(), u16::try_from(port[number].as_u64().unwrap()).unwrap());
        list(ports).iter().map(port).collect()
    };
    let wanted: Vec<_> = wanted.map(|(name, port)| (name.to_owned(), port)).to_vec();
    assert_eq!(of(&container()["ports"], "containerPort"), wanted);
    assert_eq!(of(&object("Service")["spec"]["ports"], "port"), wanted);
    for port in list(&object("Service")["spec"]["ports"]) {
        assert_eq!(port["targetPort"], port["name"]);
    }
    let labels = &object("Deployment")["spec"]["template"]["metadata"]["labels"];
    for selector in [
        &object("Service")["spec"]["selector"],
        &object("Deployment")["spec"]["selector"]["matchLabels"],
        &object("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    let scraped = &object("Deployment")["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"];
    assert_eq!(text(scraped), config.admin_listen.port().to_string());
}

#[tokio::test]
async fn probes_ask_what_is_answered() {
    let lab = Lab::start().await;
    lab.wait_ready().await;
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let probe = &container()[probe]["httpGet"];
        assert_eq!(probe["port"], "http-monitoring");
        assert_eq!(lab.get(text(&probe["path"])).await.0, 200, "{probe}");
    }
    assert_eq!(container()["readinessProbe"]["httpGet"]["path"], "/healthz/ready");
    assert_eq!(container()["livenessProbe"]["httpGet"]["path"], "/healthz/live");
}

/// The mount that `path` is in, and whether it can be written to.
fn mount(path: &Path) -> (String, bool) {
    let mounts = list(&container()["volumeMounts"]);
    let mount = mounts.iter().find(|mount| path.starts_with(text(&mount["mountPath"])));
    let mount = mount.unwrap_or_else(|| panic!("{} should be mounted", path.display()));
    (text(&mount["name"]).to_owned(), mount["readOnly"] != true)
}

#[test]
fn every_path_is_mounted_and_what_is_written_to_can_be() {
    let config = config();
    let AuthoritySource::PluggedIn { dir, state_dir } = &config.authority.source else { panic!("it is plugged in") };
    let (ledger, control) = (config.ledger.unwrap().dir, config.control_socket.unwrap());
    assert_eq!(mount(dir), ("cacerts".to_owned(), false));
    for written in [state_dir.as_ref().unwrap(), &ledger, &control] {
        assert_eq!(mount(written), ("state".to_owned(), true), "{}", written.display());
    }
    assert_eq!(mount(Path::new("/etc/signet/ca.toml")), ("config".to_owned(), false));
    for file in ["token", "ca.crt"] {
        let path = Path::new("/var/run/secrets/kubernetes.io/serviceaccount").join(file);
        assert_eq!(mount(&path), ("api-access".to_owned(), false));
    }
    let volumes = list(&pod()["volumes"]);
    for mount in list(&container()["volumeMounts"]) {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
    }
}

#[test]
fn the_pod_may_do_no_more_than_it_needs_and_ends_after_its_requests() {
    let (pod, container) = (pod(), container());
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let inside = &container["securityContext"];
    assert_eq!((&inside["readOnlyRootFilesystem"], &inside["allowPrivilegeEscalation"]), (&true.into(), &false.into()));
    assert_eq!(inside["capabilities"]["drop"], serde_json::json!(["ALL"]));
    for need in ["requests", "limits"] {
        assert!(container["resources"][need]["memory"].is_string(), "{need}");
    }
    let seconds = |value: &Value| Duration::from_secs(value.as_u64().unwrap());
    let pause = seconds(&container["lifecycle"]["preStop"]["sleep"]["seconds"]);
    let drain = Duration::from_secs(10);
    assert!(seconds(&pod["terminationGracePeriodSeconds"]) > pause + drain);
}

#[test]
fn names_in_the_rights_are_those_that_the_settings_use() {
    let account = object("ServiceAccount");
    assert_eq!(pod()["serviceAccountName"], account["metadata"]["name"]);
    let namespaces = ["signet-ca.yaml", "rbac.yaml", "shared-authority.yaml"].map(documents).concat();
    for object in namespaces.iter().filter(|object| object["metadata"]["namespace"].is_string()) {
        assert_eq!(object["metadata"]["namespace"], "istio-system", "{}", object["kind"]);
    }
    let kubernetes = config().kubernetes.unwrap();
    let named = |kind: &str, resource: &str| -> Vec<Value> {
        let rules = list(&object(kind)["rules"]);
        let of_resource = rules.into_iter().filter(|rule| list(&rule["resources"]).contains(&resource.into()));
        of_resource.flat_map(|rule| list(&rule["resourceNames"])).collect()
    };
    assert_eq!(named("Role", "leases"), [Value::from(kubernetes.lease.unwrap())]);
    assert_eq!(named("Role", "configmaps"), [Value::from(kubernetes.mesh_config.unwrap().name)]);
    let istiod = kubernetes.istiod_tls.unwrap();
    assert_eq!(
        (named("Role", "secrets"), istiod.namespace.as_str()),
        (vec![istiod.secret.clone().into()], "istio-system")
    );
    assert_eq!(object("Secret")["metadata"]["name"], istiod.secret);
    assert_eq!(named("ClusterRole", "configmaps"), [Value::from(kubernetes.config_maps.unwrap().name)]);
    // As Istio names the bundle of its authority, and the signer in the name.
    assert_eq!(named("ClusterRole", "clustertrustbundles"), ["istio.io:istiod-ca:root-cert"]);
    assert_eq!(named("ClusterRole", "signers"), ["istio.io/istiod-ca"]);
}
