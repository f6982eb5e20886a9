//! The paths that kubelets and runtimes make, and those that somebody else made.

use proptest::prelude::*;

use super::*;

const UID: &str = "6a4b7c8d-1e2f-4a3b-9c8d-0123456789ab";
const OTHER_UID: &str = "ffffffff-0000-4000-8000-000000000001";
const ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
const NODE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Puts in `UID`, `_UID_` (with underscores), `OTHER`, `ID` and `NODE`.
fn filled(text: &str) -> String {
    text.replace("_UID_", &UID.replace('-', "_"))
        .replace("UID", UID)
        .replace("OTHER", OTHER_UID)
        .replace("NODE", NODE)
        .replace("ID", ID)
}

fn uid(text: &str) -> PodUid {
    PodUid::parse(text).unwrap()
}

fn check(content: &str, container: Option<&str>) {
    let owner = owner(&filled(content)).unwrap_or_else(|error| panic!("{content}: {error}"));
    assert_eq!(owner.pod, uid(UID), "{content}");
    assert_eq!(owner.container.as_ref().map(ContainerId::as_str), container, "{content}");
}

#[test]
fn the_paths_of_every_runtime_lead_to_the_pod_and_its_container() {
    for (what, path) in [
        ("cgroupfs, burstable", "/kubepods/burstable/podUID/ID"),
        ("cgroupfs, best effort", "/kubepods/besteffort/podUID/ID"),
        ("cgroupfs, guaranteed", "/kubepods/podUID/ID"),
        (
            "containerd under systemd",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod_UID_.slice/cri-containerd-ID.scope",
        ),
        ("containerd under systemd, guaranteed", "/kubepods.slice/kubepods-pod_UID_.slice/cri-containerd-ID.scope"),
        (
            "cri-o under systemd",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod_UID_.slice/crio-ID.scope",
        ),
        (
            "cri-o with crun's own group below",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod_UID_.slice/crio-ID.scope/container",
        ),
        (
            "docker under systemd",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod_UID_.slice/docker-ID.scope",
        ),
        (
            "containerd with cgroupfs below a kubelet with systemd",
            "/system.slice/containerd.service/kubepods-burstable-pod_UID_.slice:cri-containerd:ID",
        ),
        ("the same at the root", "/kubepods-besteffort-pod_UID_.slice:cri-containerd:ID"),
        ("kind, cgroupfs", "/docker/NODE/kubelet/kubepods/burstable/podUID/ID"),
        ("kind, older", "/docker/NODE/kubepods/besteffort/podUID/ID"),
        (
            "kind under systemd",
            "/system.slice/docker-NODE.scope/kubelet.slice/kubelet-kubepods.slice/\
             kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod_UID_.slice/cri-containerd-ID.scope",
        ),
        (
            "kind, seen from inside its node",
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod_UID_.slice/cri-containerd-ID.scope",
        ),
        (
            "kind in Podman",
            "/machine.slice/libpod-NODE.scope/container/kubelet.slice/kubelet-kubepods.slice/\
             kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod_UID_.slice/cri-containerd-ID.scope",
        ),
        (
            "seen from a pod of another class, in a namespace of its own",
            "/../../../kubepods-burstable.slice/kubepods-burstable-pod_UID_.slice/cri-containerd-ID.scope",
        ),
        ("seen from a pod of its class", "/../../kubepods-burstable-pod_UID_.slice/cri-containerd-ID.scope"),
        ("seen from a pod of its class, cgroupfs", "/../../podUID/ID"),
        ("seen from a pod of another class, cgroupfs", "/../../../burstable/podUID/ID"),
        ("a group of the container's own", "/kubepods/burstable/podUID/ID/init.scope"),
    ] {
        check(&format!("0::{path}\n"), Some(ID));
        check(&format!("12:pids:{path}\n4:cpu,cpuacct:{path}\n1:name=systemd:{path}\n"), Some(ID));
        println!("{what}");
    }
}

#[test]
fn a_pod_is_known_where_its_container_is_not() {
    check("0::/kubepods/podUID", None);
    check("0::/kubepods/podUID/crio-conmon-ID", None);
    check("0::/kubepods/podUID/short", None);
    check("1:cpu:/kubepods/podUID\n2:pids:/kubepods/podUID/ID\n", Some(ID));
}

#[test]
fn hierarchies_that_lead_to_no_pod_say_nothing() {
    check("9:memory:/process_api/9a44\n4:pids:/kubepods/podUID/ID\n1:name=systemd:/\n0::/\n", Some(ID));
}

fn refused(content: &str, wanted: &str) {
    assert_eq!(owner(&filled(content)).unwrap_err().to_string(), filled(wanted), "{content}");
}

#[test]
fn what_is_in_no_pod_is_told_by_its_path() {
    for path in [
        "/",
        "/user.slice/user-1000.slice/session-3.scope",
        "/system.slice/sshd.service",
        "/docker/NODE",
        "/../ID",
        "/kubepods/burstable",
        "/kubepods/podnothing/ID",
    ] {
        refused(&format!("0::{path}"), &format!("control group `{path}` is no pod's"));
    }
}

#[test]
fn nobody_makes_himself_look_like_a_pod_by_groups_of_his_own() {
    for path in [
        "/user.slice/user-1000.slice/user@1000.service/kubepods/podUID/ID",
        "/user.slice/user-1000.slice/kubepods.slice/kubepods-pod_UID_.slice/crio-ID.scope",
        "/user.slice/podUID/ID",
        "/system.slice/sshd.service/kubepods/podUID/ID",
        "/system.slice/mine.service/kubepods-burstable-pod_UID_.slice:cri-containerd:ID",
        "/docker/not-a-node/kubepods/podUID/ID",
        "/kubepods/elsewhere/podUID/ID",
        "/kubepods/../podUID/ID",
        "/process_api/kubepods.slice/kubepods-pod_UID_.slice/crio-ID.scope",
    ] {
        refused(&format!("0::{path}"), &format!("control group `{path}` is no pod's"));
    }
    check("0::/kubepods/podUID/ID/kubepods/podOTHER/ID", Some(ID));
    check("0::/kubepods/burstable/podUID/kubepods/podOTHER/ID", None);
    check("0::/kubepods.slice/kubepods-pod_UID_.slice/crio-ID.scope/kubepods.slice/kubepods-podOTHER.slice", Some(ID));
}

#[test]
fn two_pods_are_none() {
    refused(
        "1:cpu:/kubepods/podUID/ID\n0::/kubepods/podOTHER/ID\n",
        "control groups lead to two pods, `UID` and `OTHER`",
    );
}

#[test]
fn a_static_pod_is_told_apart() {
    let digest = "d41d8cd98f00b204e9800998ecf8427e";
    for path in [format!("/kubepods/burstable/pod{digest}/ID"), format!("/kubepods.slice/kubepods-pod{digest}.slice")] {
        assert_eq!(owner(&filled(&format!("0::{path}"))), Err(CgroupError::StaticPod), "{path}");
    }
}

#[test]
fn what_is_no_such_file_is_refused() {
    for content in ["", "\n", "0:/kubepods/podUID", "x::/kubepods/podUID", "::/", "0::kubepods/podUID", "0::/\nrubbish"]
    {
        refused(content, "control groups cannot be read");
    }
    assert_eq!(owner(&format!("0::/{}", "a".repeat(CGROUP_MAX_BYTES))), Err(CgroupError::Malformed));
}

#[test]
fn a_uid_is_read_in_both_its_forms_and_written_in_one() {
    assert_eq!(uid(UID).to_string(), UID);
    assert_eq!(uid(&UID.replace('-', "_")), uid(UID));
    for other in
        ["", "6a4b7c8d", &UID.replace('-', ""), &UID.replace('6', "g"), &format!("{UID}0"), &UID.replace('-', "é")]
    {
        assert_eq!(PodUid::parse(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn no_content_makes_reading_panic(content in "\\PC{0,200}") {
        let _ = owner(&content);
    }

    #[test]
    fn no_arrangement_of_a_kubelets_words_finds_a_pod_that_is_not_named_first(
        words in prop::collection::vec(prop::sample::select(vec![
            "..", "kubepods", "burstable", "kubepods.slice", "docker", "user.slice", "system.slice", "podUID", "podOTHER",
            "NODE", "ID", "kubepods-pod_UID_.slice", "kubepods-burstable-podOTHER.slice",
        ]), 0..8)
    ) {
        let path = filled(&format!("0::/{}", words.join("/")));
        let first = words.iter().find(|word| word.contains("UID") || word.contains("OTHER"));
        if let Ok(owner) = owner(&path) {
            let wanted = if first.is_some_and(|word| word.contains("OTHER")) { OTHER_UID } else { UID };
            prop_assert_eq!(owner.pod, uid(wanted), "{}", path);
        }
    }

    #[test]
    fn what_a_uid_is_written_as_it_is_read_from(bits: u128) {
        prop_assert_eq!(PodUid::parse(&PodUid(bits).to_string()), Some(PodUid(bits)));
    }
}
