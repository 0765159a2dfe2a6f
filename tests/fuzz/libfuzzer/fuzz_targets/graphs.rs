#![no_main]

spillway_libfuzzer::target!("graphs");
