//! One order of a certificate: RFC 8555, section 7.4.

use super::{
    AcmeError,
    account::is_unknown,
    certificate::Certificate,
    client::Client,
    shared::Shared,
    state::{Lock, State},
};
use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use reagent::BoxError;
use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::task::spawn_blocking;
use tokio_rustls::rustls::{
    crypto::ring::sign::any_supported_type, pki_types::PrivateKeyDer, sign::CertifiedKey,
};

/// How an order is asked for its progress.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

/// What orders are made with.
#[derive(Clone)]
pub(super) struct Orders {
    pub(super) client: Client,
    pub(super) state: State,
    pub(super) url: String,
    pub(super) contact: Arc<[String]>,
    pub(super) shared: Arc<Shared>,
}

impl Orders {
    /// Obtains a certificate for a domain. `replaced` is the one that it is to replace.
    pub(super) async fn obtain(
        &self,
        lock: &Arc<Lock>,
        domain: &str,
        replaced: Option<&Certificate>,
    ) -> Result<Certificate, AcmeError> {
        let order = match self.begin(lock, domain, replaced).await {
            Err(error) if is_unknown(&error) => {
                self.register_again(lock).await?;
                self.begin(lock, domain, replaced).await?
            }
            order => order?,
        };
        self.complete(order, domain).await
    }

    /// Returns the window in which the directory suggests to renew a certificate, and the time
    /// after which to ask again. Fails if there is no account yet, or the directory has no
    /// suggestions.
    pub(super) async fn suggestion(
        &self,
        certificate: &Certificate,
    ) -> Result<(Range<SystemTime>, Duration), AcmeError> {
        let unsupported = || AcmeError::from(Error::Unsupported("renewal information"));
        let kept = self.account().await?.ok_or_else(unsupported)?;
        let session = self.http().from_credentials(kept.credentials).await?;
        let own = identifier(certificate).ok_or_else(unsupported)?;
        let (info, again) = session.renewal_info(&own).await?;
        let window = info.suggested_window;
        Ok((window.start.into()..window.end.into(), again))
    }

    async fn begin(
        &self,
        lock: &Arc<Lock>,
        domain: &str,
        replaced: Option<&Certificate>,
    ) -> Result<Order, AcmeError> {
        let session = self.session(lock).await?;
        let name = [Identifier::Dns(domain.to_owned())];
        if let Some(replaced) = replaced.and_then(identifier) {
            // Fails if the server has no renewal information, or does not know the certificate.
            let order = NewOrder::new(&name).replaces(replaced);
            if let Ok(order) = session.new_order(&order).await {
                return Ok(order);
            }
        }
        Ok(session.new_order(&NewOrder::new(&name)).await?)
    }

    /// Answers the challenge of an order, and fetches its certificate.
    async fn complete(&self, mut order: Order, domain: &str) -> Result<Certificate, AcmeError> {
        // Removes the challenge at the end.
        let pending = self.answer(&mut order, domain).await?;
        match order.state().status {
            OrderStatus::Pending => match order.poll_ready(&POLLING).await? {
                OrderStatus::Ready => {}
                _ => return Err(refusal(&mut order).await),
            },
            OrderStatus::Invalid => return Err(refusal(&mut order).await),
            _ => {}
        }
        drop(pending);
        let key = KeyPair::generate().map_err(AcmeError::order)?;
        let mut request = CertificateParams::new([domain.to_owned()]).map_err(AcmeError::order)?;
        request.distinguished_name = DistinguishedName::new();
        let request = request.serialize_request(&key).map_err(AcmeError::order)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&POLLING).await?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Certificate::issued(domain, &key, &chain).map_err(|expected| {
            AcmeError::order(format!(
                "the directory sent a bad chain: expected {expected}"
            ))
        })
    }

    /// Prepares the answer to the challenge, and asks the directory to validate it.
    async fn answer(&self, order: &mut Order, domain: &str) -> Result<Option<Pending>, AcmeError> {
        let mut authorizations = order.authorizations();
        let mut pending = None;
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending if pending.is_none() => {}
                _ => {
                    return Err(AcmeError::order(
                        "expected one authorization that is pending",
                    ));
                }
            }
            let mut challenge = authorization
                .challenge(ChallengeType::TlsAlpn01)
                .ok_or_else(|| AcmeError::order("the directory does not offer tls-alpn-01"))?;
            let digest = challenge.key_authorization().digest();
            let answer = answer(domain, digest.as_ref()).map_err(AcmeError::order)?;
            pending = Some(Pending::new(&self.shared, domain, answer));
            challenge.set_ready().await?;
        }
        Ok(pending)
    }
}

/// The answer to a challenge, which is given until this is dropped.
struct Pending {
    shared: Arc<Shared>,
    domain: String,
}

impl Pending {
    fn new(shared: &Arc<Shared>, domain: &str, answer: Arc<CertifiedKey>) -> Self {
        shared.set_challenge(domain, Some(answer));
        Pending {
            shared: shared.clone(),
            domain: domain.to_owned(),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.set_challenge(&self.domain, None);
    }
}

/// Makes the certificate that answers a challenge: RFC 8737, section 3.
fn answer(domain: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>, BoxError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([domain.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = any_supported_type(&key)?;
    Ok(Arc::new(CertifiedKey::new(
        vec![certificate.der().clone()],
        key,
    )))
}

fn identifier(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    let identifier = CertificateIdentifier::try_from(certificate.own());
    Some(identifier.ok()?.into_owned())
}

/// Returns why the directory considers an order invalid.
async fn refusal(order: &mut Order) -> AcmeError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let mut problems = state.challenges.iter().filter_map(|it| it.error.clone());
        if let Some(problem) = problems.next() {
            return Error::Api(problem).into();
        }
    }
    AcmeError::order("the directory considers the order invalid")
}

/// Runs `work` on a thread where no connection waits for it.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down, and this task with it.
        Err(_) => std::future::pending().await,
    }
}
