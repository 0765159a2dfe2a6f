//! The whole product from outside: the binary, its two ports, its files.
//!
//! | module | what it shows |
//! | --- | --- |
//! | `layers` | the crates depend on each other as the architecture says |
//! | `bad_bundles`, `bad_manifests`, `bad_models` | what cannot be deployed, and that nothing changes |
//! | `routes`, `body_limits` | which requests reach which function |
//! | `startup`, `shutdown` | what keeps a node from starting, and how it stops |
//! | `control` | the control API and the command line |
//! | `cores` | which threads keep to a core |
//! | `observability` | logs, metrics, timing, traces |
//! | `hangups` | callers that hang up |
//! | `overflow` | more calls than a node finishes in time, with another beside it |
//! | `canary` | where payloads go then: searched for in all that was on the wire |
//! | `liars`, `strays` | peers that lie about themselves, and calls that none should have sent |
//! | `journeys` | what travels with a call from node to node, and what comes back |
//! | `overload` | more calls than a function may run |
//! | `crowds` | ten thousand calls at once |
//! | `quotas` | what the functions of a namespace may take together |
//! | `faults`, `denials` | guests that misbehave, and what they may not do |
//! | `outbound` | requests that functions send, and those that they may not |
//! | `bodies` | bodies of 200 MB in both directions |
//! | `blocking` | models and kernels from WASI 0.2 |
//! | `models` | models added, inspected and removed; out of memory and back |
//! | `nn` | `wasi:nn` from both |
//! | `operators` | native kernels, and guests that ask too much of them |
//! | `load` | deploys and rollbacks while callers call |
//! | `foreign`, `samples` | components of other toolchains, and `sniff` on a real model |
//! | `similar` | nearest neighbours among 100,000 vectors |
//! | `faults_disk`, `faults_limits`, `faults_kill`, `faults_clock` | machines that fail: full disks, no handles, kills, clocks that jump |
//! | `crash`, `syscalls` | what a power cut leaves, and the order in which a deploy reaches the disk |
//! | `clusters`, `operations` | several nodes: deploying, draining, forgetting, collecting |
//! | `partitions`, `impostors`, `shortages` | bad networks, intruders and wrong clocks, damaged files and full disks |
//! | `two_builds` | an older build beside this one |
//! | `docs`, `walkthrough` | commands and links of the documentation, and the README followed from top to bottom |
//! | `markdown` | the parts of pages that these check |
//! | `fake_peer` | the peer of `liars` and `strays`, which is none |
//! | `upstream` | the servers that functions ask in `outbound` |
//! | `variants` | built guests with another manifest, for several of these |

mod bad_bundles;
mod bad_manifests;
mod bad_models;
mod bills;
mod blocking;
mod bodies;
mod body_limits;
mod callers;
mod canary;
mod clusters;
mod control;
mod cores;
mod crash;
mod crowds;
mod denials;
mod docs;
mod fake_peer;
mod faults;
mod faults_clock;
mod faults_disk;
mod faults_kill;
mod faults_limits;
mod foreign;
mod hangups;
mod hardened;
mod hostile_models;
mod hostile_sizes;
mod http;
mod idle;
mod impostors;
mod journeys;
mod layers;
mod liars;
mod load;
mod markdown;
mod models;
mod nn;
mod observability;
mod operations;
mod operators;
mod outbound;
mod overflow;
mod overload;
mod partitions;
mod quotas;
mod residency;
mod room;
mod routes;
mod samples;
mod serving;
mod shortages;
mod shutdown;
mod similar;
mod smuggling;
mod standing;
mod startup;
mod strays;
mod syscalls;
mod two_builds;
mod upstream;
mod variants;
mod walkthrough;
