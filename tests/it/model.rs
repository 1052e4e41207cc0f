//! Every run of a short turn, not a sample of them.
mod client;
mod explorer;
mod laws;
mod props;
mod shelf;
mod stage;
mod world;

use crate::support::{Script, submit};
use client::Client;
use laws::{Expect, Scene};
use steadfast::run::TurnInput;
use steadfast::wire::request::Submit;
use world::{Bounds, End, Recovery, World};

fn keyed() -> Submit {
    Submit {
        key: Some("k-1".to_owned()),
        ..submit("hello")
    }
}

fn bounds(ends: u32, kinds: &[End]) -> Bounds {
    Bounds {
        ends,
        kinds: kinds.to_vec(),
        early: 0,
        lost: 0,
        leases: 0,
        recovery: Recovery::Clients,
    }
}

fn one_object(world: &World) {
    world.object(vec![Client::new(keyed())]);
}

fn scene(name: &'static str, bounds: Bounds) -> Scene {
    Scene {
        name,
        script: Script::short(),
        bounds,
        one_clock: false,
        expect: Expect::Transcript,
        begin: one_object,
    }
}

fn one_worker(world: &World) {
    world.worker(plain());
}

fn two_workers(world: &World) {
    world.worker(plain());
    world.worker(plain());
}

fn plain() -> TurnInput {
    let mut input = crate::support::input();
    input.terms.lease.lease_ms = 2_000;
    input.terms.window_ms = 0;
    input
}

#[test]
fn one_object_ends_anywhere() {
    scene("one crash", bounds(1, &[End::Crash])).exhaust();
}

#[test]
fn alarm_alone() {
    let bounds = Bounds {
        recovery: Recovery::Alarm,
        ..bounds(1, &[End::Crash])
    };
    scene("one crash, the alarm alone", bounds).exhaust();
}

#[test]
fn two_ends() {
    scene("two crashes", bounds(2, &[End::Crash])).exhaust();
}

#[test]
fn two_losses() {
    scene("two ends", bounds(2, &[End::Crash, End::StorageLost])).exhaust();
}

#[test]
fn lost_answers() {
    let bounds = Bounds {
        lost: 1,
        ..bounds(1, &[End::Crash, End::StorageLost])
    };
    scene("one end, one lost answer", bounds).exhaust();
}

#[test]
fn early() {
    let bounds = Bounds {
        early: 1,
        ..bounds(1, &[End::Crash, End::StorageLost])
    };
    scene("one end, one early timer", bounds).exhaust();
}

#[test]
fn replaced() {
    scene("replaced", bounds(1, &[End::Replaced])).exhaust();
}

#[test]
fn forked() {
    scene("forked", bounds(1, &[End::Forked])).exhaust();
}

#[test]
fn workers() {
    let scene = Scene {
        one_clock: true,
        begin: two_workers,
        ..scene("two Workers", bounds(0, &[End::Crash]))
    };
    scene.exhaust();
}

#[test]
fn lease() {
    let scene = Scene {
        one_clock: true,
        begin: one_worker,
        ..scene("a lease ends", Bounds { leases: 1, ..bounds(0, &[End::Crash]) })
    };
    scene.exhaust();
}
