//! Names that claims make, and those that they must not make.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn trust_domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn name(path: &str, claims: &Value) -> Result<String, NamingError> {
    let naming = Naming::Path(path.parse().unwrap());
    let claims = OidcClaims::from_json(claims.to_string().as_bytes()).unwrap();
    naming.id(&claims, &trust_domain()).map(|id| id.to_string())
}

#[test]
fn claims_stand_in_a_path_each_as_one_segment() {
    let claims = json!({"org": "acme", "id": "77", "n": 5, "list": ["x"], "none": null, "bad": "a/b", "dots": ".."});
    assert_eq!(name("/ci/{org}/{id}", &claims).unwrap(), "spiffe://cluster.local/ci/acme/77");
    assert_eq!(name("/ci/{org}/deploy", &claims).unwrap(), "spiffe://cluster.local/ci/acme/deploy");
    for claim in ["n", "list", "none", "absent"] {
        let missing = NamingError::Missing { claim: claim.to_owned() };
        assert_eq!(name(&format!("/ci/{{{claim}}}"), &claims), Err(missing));
    }
    for claim in ["bad", "dots"] {
        assert!(matches!(name(&format!("/ci/{{{claim}}}"), &claims), Err(NamingError::Id(_))), "{claim}");
    }
}

#[test]
fn a_rule_knows_which_ids_it_could_have_given() {
    let may = |path: &str, id: &str| Naming::Path(path.parse().unwrap()).may_give(&id.parse().unwrap());
    assert!(may("/ci/{org}/x", "spiffe://cluster.local/ci/acme/x"));
    for id in ["/ci/acme/y", "/ci/acme", "/ci/acme/x/z", "/ca/acme/x", "/ns/shop/sa/web"] {
        assert!(!may("/ci/{org}/x", &format!("spiffe://cluster.local{id}")), "{id}");
    }
    assert!(Naming::ServiceAccount.may_give(&"spiffe://cluster.local/ns/shop/sa/web".parse().unwrap()));
    assert!(!Naming::ServiceAccount.may_give(&"spiffe://cluster.local/ci/acme".parse().unwrap()));
}

#[test]
fn rules_know_whether_they_could_give_one_id() {
    let naming = |path: &str| match path {
        "" => Naming::ServiceAccount,
        path => Naming::Path(path.parse().unwrap()),
    };
    for (one, other, wanted) in [
        ("/ci/{org}", "/ci/{sub}", true),
        ("/ci/{org}", "/ci/acme", true),
        ("/ci/{org}/x", "/ci/acme/{sub}", true),
        ("/ci/{org}/x", "/ci/{org}/y", false),
        ("/ci/{org}", "/cd/{org}", false),
        ("/ci/{org}", "/ci/{org}/{repo}", false),
        ("", "", true),
        ("", "/ns/{a}/sa/{b}", true),
        ("", "/ci/{org}", false),
    ] {
        let (first, second) = (naming(one), naming(other));
        assert_eq!((first.may_give_alike(&second), second.may_give_alike(&first)), (wanted, wanted), "{one} {other}");
    }
}

#[test]
fn a_path_of_workloads_names_workloads_only() {
    let path = "/ns/{project}/sa/{job}";
    assert_eq!(name(path, &json!({"project": "shop", "job": "web"})).unwrap(), "spiffe://cluster.local/ns/shop/sa/web");
    let upper = name(path, &json!({"project": "Shop", "job": "web"}));
    assert!(matches!(upper, Err(NamingError::Workload(_))), "{upper:?}");
}

#[test]
fn a_subject_in_the_form_of_kubernetes_names_its_service_account() {
    let named = |subject: Value| {
        let claims = OidcClaims::from_json(json!({"sub": subject}).to_string().as_bytes()).unwrap();
        Naming::ServiceAccount.id(&claims, &trust_domain()).map(|id| id.to_string())
    };
    let web = "spiffe://cluster.local/ns/shop/sa/web".to_owned();
    assert_eq!(named(json!("system:serviceaccount:shop:web")), Ok(web));
    for subject in [
        json!("system:serviceaccount"),
        json!("system:serviceaccount:shop"),
        json!("alice"),
        json!(""),
        json!(7),
        Value::Null,
    ] {
        assert_eq!(named(subject.clone()), Err(NamingError::Subject), "{subject}");
    }
    for subject in ["system:serviceaccount:shop:web:more", "system:serviceaccount:a/b:web", "system:serviceaccount::"] {
        let refused = named(json!(subject));
        assert!(matches!(refused, Err(NamingError::Workload(_))), "{subject}: {refused:?}");
    }
}

#[test]
fn a_path_that_a_claim_could_lead_elsewhere_is_refused() {
    for path in [
        "",
        "ci/{sub}",
        "/{sub}",
        "/{a}/{b}/{c}/{d}",
        "/ci",
        "/ci/",
        "/ci//{sub}",
        "/ci/{}",
        "/ci/x{sub}",
        "/ci/{a}{b}",
        "/ci/../{sub}",
        "/ci/a b",
        "/ns/{a}",
        "/ns/{a}/{b}/{c}",
        "/ns/{a}/sa/{b}/{c}",
        "/signet/{sub}",
        &format!("/ci{}", "/{sub}".repeat(SEGMENTS_MAX)),
    ] {
        assert!(path.parse::<PathTemplate>().is_err(), "{path}");
    }
}

proptest! {
    #[test]
    fn whatever_a_claim_says_the_id_stays_below_what_the_operator_wrote(value in any::<String>()) {
        if let Ok(id) = name("/ci/{sub}/end", &json!({ "sub": value })) {
            prop_assert_eq!(id, format!("spiffe://cluster.local/ci/{value}/end"));
            prop_assert!(!value.contains('/'));
        }
    }

    #[test]
    fn a_path_prints_as_it_was_read(text in "(/[a-z{}.]{0,6}){1,5}") {
        if let Ok(path) = text.parse::<PathTemplate>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }
}
