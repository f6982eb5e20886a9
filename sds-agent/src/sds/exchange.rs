//! What the two forms of the protocol have in common for the one who drives a stream.

use signet_proto_envoy::pb::envoy::config::core::v3::Node;
use signet_proto_envoy::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::sds::delta::{DeltaRequest, DeltaStream};
use crate::sds::stream::{NothingServed, Outcome, Request, SotwStream};
use crate::sds::subscription::{Push, Subscriptions};
use crate::sds::view::{Refusal, View};
use crate::sds::wire::{self, InvalidRequest};

pub(super) trait Exchange: Send + 'static {
    const KIND: &'static str;
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn node(request: &Self::Request) -> Option<&Node>;
    /// Takes in who asks; told once.
    fn greet(&mut self, node: &Node);
    fn wanted(&self) -> &Subscriptions;
    fn answer(&mut self, request: Self::Request, view: &View) -> Result<Outcome, Status>;
    fn news(&mut self, view: &View) -> Result<Outcome, Status>;
    fn wake_at(&self) -> Option<Instant>;
    fn encode(push: Push) -> Self::Response;
}

impl Exchange for SotwStream {
    const KIND: &'static str = "sotw";
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn node(request: &Self::Request) -> Option<&Node> {
        request.node.as_ref()
    }

    fn greet(&mut self, node: &Node) {
        self.set_form(wire::roots_form(node));
    }

    fn wanted(&self) -> &Subscriptions {
        Self::wanted(self)
    }

    fn answer(&mut self, request: Self::Request, view: &View) -> Result<Outcome, Status> {
        let request = Request::try_from(request).map_err(|error| invalid(&error))?;
        self.on_request(request, view, Instant::now()).map_err(|error| not_served(&error))
    }

    fn news(&mut self, view: &View) -> Result<Outcome, Status> {
        self.on_change(view, Instant::now()).map_err(|error| not_served(&error))
    }

    fn wake_at(&self) -> Option<Instant> {
        Self::wake_at(self)
    }

    fn encode(push: Push) -> Self::Response {
        wire::response(push)
    }
}

impl Exchange for DeltaStream {
    const KIND: &'static str = "delta";
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn node(request: &Self::Request) -> Option<&Node> {
        request.node.as_ref()
    }

    fn greet(&mut self, node: &Node) {
        self.set_form(wire::roots_form(node));
    }

    fn wanted(&self) -> &Subscriptions {
        Self::wanted(self)
    }

    fn answer(&mut self, request: Self::Request, view: &View) -> Result<Outcome, Status> {
        let request = DeltaRequest::try_from(request).map_err(|error| invalid(&error))?;
        self.on_request(request, view, Instant::now()).map_err(|error| Status::invalid_argument(error.to_string()))
    }

    fn news(&mut self, view: &View) -> Result<Outcome, Status> {
        Ok(self.on_change(view, Instant::now()))
    }

    fn wake_at(&self) -> Option<Instant> {
        Self::wake_at(self)
    }

    fn encode(push: Push) -> Self::Response {
        wire::delta_response(push)
    }
}

/// A message that is not as it should be.
pub(super) fn invalid(error: &InvalidRequest) -> Status {
    Status::invalid_argument(error.to_string())
}

/// Names that are not served: whether they do not exist or are not the client's.
pub(super) fn not_served(error: &NothingServed) -> Status {
    let code = match error.refusal() {
        Refusal::Unknown => Code::NotFound,
        Refusal::NotYours | Refusal::Outside => Code::PermissionDenied,
        Refusal::NeedsValidator => Code::FailedPrecondition,
    };
    Status::new(code, error.to_string())
}
