//! A keeper with one session at a faulty issuer.

use std::path::Path;

use tempfile::TempDir;
use tenure::{Keep, Keeper, Session, SessionBuilder};
use tenure_lab::{FaultyIssuer, IssuerConfig, temp_dir};

pub(crate) struct Shop {
    pub(crate) issuer: FaultyIssuer,
    pub(crate) keeper: Keeper,
    pub(crate) dir: TempDir,
}

impl Shop {
    /// Nobody is logged in yet.
    pub(crate) async fn empty() -> Self {
        let issuer = FaultyIssuer::start(IssuerConfig::new());
        let dir = temp_dir();
        let keeper = open(&issuer, dir.path()).await;
        Self {
            issuer,
            keeper,
            dir,
        }
    }

    pub(crate) async fn logged_in() -> Self {
        let shop = Self::empty().await;
        let answer = shop.issuer.issue().to_string();
        shop.keeper
            .import(&shop.session(), &answer)
            .await
            .expect("stored");
        shop.session()
            .token(std::time::Duration::ZERO)
            .await
            .expect("the login is taken up");
        shop
    }

    pub(crate) fn session(&self) -> Session {
        session(&self.keeper)
    }

    pub(crate) fn exchanges(&self) -> usize {
        self.issuer.exchanges().len()
    }
}

pub(crate) async fn open(issuer: &FaultyIssuer, dir: &Path) -> Keeper {
    Keeper::open(dir.join("tenure.db"), [shop(issuer)])
        .await
        .expect("a keeper")
}

pub(crate) fn shop(issuer: &FaultyIssuer) -> SessionBuilder {
    SessionBuilder::new("shop")
        .token_endpoint(issuer.token_endpoint())
        .client_id("till-7")
        .upstream(issuer.url())
        .keep(Keep::Lazy)
}

pub(crate) fn session(keeper: &Keeper) -> Session {
    keeper.session("shop").expect("the session")
}
