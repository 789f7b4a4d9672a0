//! The account, in whose name certificates are ordered: RFC 8555, section 7.3.

use super::{
    AcmeError,
    order::{Orders, blocking},
    state::{Account, Lock},
};
use instant_acme::{
    Account as Session, AccountBuilder, AccountCredentials, Error, Key, NewAccount,
};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

impl Orders {
    /// Signs in to the account, or creates it.
    pub(super) async fn session(&self, lock: &Arc<Lock>) -> Result<Session, AcmeError> {
        let Some(mut kept) = self.account().await? else {
            let contact = self.contact();
            let new = NewAccount {
                contact: &contact,
                terms_of_service_agreed: true,
                only_return_existing: false,
            };
            let created = self.http().create(&new, self.url.clone(), None).await?;
            self.save(lock, created.1).await?;
            return Ok(created.0);
        };
        let is_current = *kept.contact == *self.contact;
        let session = self.http().from_credentials(kept.credentials).await?;
        if !is_current {
            session.update_contacts(&self.contact()).await?;
            kept = self
                .account()
                .await?
                .ok_or_else(|| AcmeError::order("the account is gone"))?;
            self.save(lock, kept.credentials).await?;
        }
        Ok(session)
    }

    /// Registers the key of the account once more, since the directory does not know it.
    pub(super) async fn register_again(&self, lock: &Arc<Lock>) -> Result<(), AcmeError> {
        let kept = self
            .account()
            .await?
            .ok_or_else(|| AcmeError::order("the account is gone"))?;
        let pkcs8 = kept.credentials.private_key().clone_key();
        let key = (
            Key::from_pkcs8_der(pkcs8.clone_key())?,
            PrivateKeyDer::Pkcs8(pkcs8),
        );
        let (session, credentials) = self.http().create_from_key(key, self.url.clone()).await?;
        session.update_contacts(&self.contact()).await?;
        self.save(lock, credentials).await
    }

    pub(super) fn http(&self) -> AccountBuilder {
        Session::builder_with_http(Box::new(self.client.clone()))
    }

    fn contact(&self) -> Vec<&str> {
        self.contact.iter().map(|contact| &**contact).collect()
    }

    pub(super) async fn account(&self) -> Result<Option<Account>, AcmeError> {
        let state = self.state.clone();
        blocking(move || state.account()).await
    }

    async fn save(
        &self,
        lock: &Arc<Lock>,
        credentials: AccountCredentials,
    ) -> Result<(), AcmeError> {
        let account = Account {
            directory: self.url.clone(),
            contact: self.contact.to_vec(),
            credentials,
        };
        let (state, lock) = (self.state.clone(), lock.clone());
        blocking(move || state.save_account(&lock, &account)).await
    }
}

/// Returns whether the directory does not know the account.
pub(super) fn is_unknown(error: &AcmeError) -> bool {
    let AcmeError::Order { source } = error else {
        return false;
    };
    match source.downcast_ref() {
        Some(Error::Api(problem)) => problem.r#type.as_deref() == Some(NO_ACCOUNT),
        _ => false,
    }
}
