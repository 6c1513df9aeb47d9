//! Reads Kubernetes objects of many kinds, keeps threads busy in as many ways, and panics deep
//! inside a parser: a program with more than 300 MB of debug information.

use k8s_openapi::List;
use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, autoscaling::v2 as autoscaling,
    batch::v1 as batch, coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
    networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac, scheduling::v1 as scheduling,
    storage::v1 as storage,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// Reads, writes and reads again, by two formats of the parser.
fn round<T: DeserializeOwned + Serialize + Clone + std::fmt::Debug>(text: &str) -> usize {
    let Ok(object) = serde_json::from_str::<T>(text) else {
        return 0;
    };
    let value = serde_json::to_value(&object).unwrap_or_default();
    let again: Option<T> = serde_json::from_value(value).ok();
    let lists: Vec<T> = again.into_iter().chain([object]).collect();
    let bytes = serde_json::to_vec_pretty(&lists).unwrap_or_default();
    let read = serde_json::from_reader::<_, Vec<T>>(bytes.as_slice());
    format!("{read:?}").len()
}

macro_rules! rounds {
    ($text:expr, $($kind:ty),* $(,)?) => { 0 $(+ round::<$kind>($text) + round::<List<$kind>>($text))* };
}

fn all(text: &str) -> usize {
    rounds!(
        text,
        core::Pod, core::Node, core::Service, core::ConfigMap, core::Secret, core::Namespace,
        core::PersistentVolume, core::PersistentVolumeClaim, core::ReplicationController, core::Endpoints,
        core::Event, core::LimitRange, core::PodTemplate, core::ResourceQuota, core::ServiceAccount,
        apps::Deployment, apps::DaemonSet, apps::ReplicaSet, apps::StatefulSet, apps::ControllerRevision,
        batch::Job, batch::CronJob, autoscaling::HorizontalPodAutoscaler, coordination::Lease,
        discovery::EndpointSlice, networking::Ingress, networking::IngressClass, networking::NetworkPolicy,
        policy::PodDisruptionBudget, rbac::Role, rbac::ClusterRole, rbac::RoleBinding, rbac::ClusterRoleBinding,
        scheduling::PriorityClass, storage::StorageClass, storage::VolumeAttachment, storage::CSIDriver,
        storage::CSINode, admission::MutatingWebhookConfiguration, admission::ValidatingWebhookConfiguration,
    )
}

/// Panics when it is read.
#[derive(Deserialize)]
struct Order {
    #[serde(deserialize_with = "amount")]
    _amount: u64,
}

fn amount<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let amount = u64::deserialize(deserializer)?;
    assert!(amount > 7, "an order of {amount} is too small");
    Ok(amount)
}

fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        return aground_web::cli::run();
    }
    let barrier = Arc::new(Barrier::new(17));
    for number in 0..16_u64 {
        let barrier = Arc::clone(&barrier);
        thread::spawn(move || {
            barrier.wait();
            match number % 4 {
                0 => tokio::runtime::Runtime::new()
                    .expect("a runtime")
                    .block_on(tokio::time::sleep(Duration::from_secs(3600))),
                1 => thread::sleep(Duration::from_secs(3600)),
                2 => thread::park(),
                _ => drop(regex::Regex::new("(a|b)*").map(|_| thread::sleep(Duration::from_secs(3600)))),
            }
        });
    }
    barrier.wait();
    thread::sleep(Duration::from_millis(300));
    println!("{}", all(r#"{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}, "spec": {}}"#));
    let orders: Result<Vec<Order>, _> = serde_json::from_str(r#"[{"_amount": 9}, {"_amount": 3}]"#);
    println!("{}", orders.is_ok());
    ExitCode::SUCCESS
}
