//! The schemas as data. Fields without a bound of their own are left out.

use super::{Field, Form, Shape};

const NO_MAX: usize = usize::MAX;

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, is_required: false, shape }
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, is_required: true, shape }
}

const fn non_empty() -> Shape {
    Shape::Text(1, NO_MAX, Form::Any)
}

static NON_EMPTY: Shape = non_empty();
static ACCOUNT: Shape = Shape::Text(0, 320, Form::Any);

static TARGET: &[Field] = &[
    field("group", Shape::Text(0, 253, Form::Group)),
    required("kind", Shape::Text(1, 63, Form::Kind)),
    required("name", Shape::Text(1, 253, Form::Any)),
    field("namespace", Shape::Text(0, NO_MAX, Form::Empty)),
];
static TARGET_ITEM: Shape = Shape::Map(TARGET);

static SOURCE: &[Field] =
    &[field("serviceAccounts", Shape::List(16, &ACCOUNT)), field("notServiceAccounts", Shape::List(16, &ACCOUNT))];
static FROM: Shape = Shape::Map(&[field("source", Shape::Map(SOURCE))]);
static WHEN: Shape = Shape::Map(&[required("key", Shape::Text(0, NO_MAX, Form::Any))]);
static RULE: Shape = Shape::Map(&[field("from", Shape::List(512, &FROM)), field("when", Shape::List(NO_MAX, &WHEN))]);

/// AuthorizationPolicy.
pub(super) static AUTHORIZATION: &[Field] = &[
    field("targetRef", Shape::Map(TARGET)),
    field("targetRefs", Shape::List(16, &TARGET_ITEM)),
    field("rules", Shape::List(512, &RULE)),
];

static FROM_HEADER: Shape = Shape::Map(&[required("name", non_empty())]);
static CLAIM_TO_HEADER: Shape =
    Shape::Map(&[required("header", Shape::Text(1, NO_MAX, Form::Header)), required("claim", non_empty())]);

static JWT_RULE: Shape = Shape::Map(&[
    field("issuer", non_empty()),
    field("audiences", Shape::List(NO_MAX, &NON_EMPTY)),
    field("jwksUri", Shape::Text(1, 2048, Form::Url)),
    field("jwks_uri", Shape::Text(1, 2048, Form::Url)),
    field("fromHeaders", Shape::List(NO_MAX, &FROM_HEADER)),
    field("fromParams", Shape::List(NO_MAX, &NON_EMPTY)),
    field("fromCookies", Shape::List(NO_MAX, &NON_EMPTY)),
    field("outputClaimToHeaders", Shape::List(NO_MAX, &CLAIM_TO_HEADER)),
    field("spaceDelimitedClaims", Shape::List(64, &NON_EMPTY)),
]);

/// RequestAuthentication.
pub(super) static REQUEST: &[Field] = &[
    field("targetRef", Shape::Map(TARGET)),
    field("targetRefs", Shape::List(16, &TARGET_ITEM)),
    field("jwtRules", Shape::List(4096, &JWT_RULE)),
];
