//! The handler against what the Python package found in the same recordings (`tests/data/speech/references.json`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use spillway_sdk::testing::{block_on, call};
use spillway_sdk::{Request, StatusCode};

use super::*;

#[derive(Deserialize)]
struct Reference {
    rate: u32,
    /// Samples of one channel in the file.
    frames: usize,
    /// Samples at the model's rate.
    samples: usize,
    /// First and last sample of each segment, by query string.
    cases: BTreeMap<String, Vec<(usize, usize)>>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Answer {
    sample_rate: u32,
    duration: f64,
    segments: Vec<Times>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Times {
    start: f64,
    end: f64,
}

impl Answer {
    /// In samples at the model's rate, which must come out whole.
    fn samples(&self) -> Vec<(usize, usize)> {
        let sample = |seconds: f64| {
            let sample = seconds * f64::from(RATE);
            assert!((sample - sample.round()).abs() < 1e-6, "{seconds}");
            sample.round() as usize
        };
        self.segments.iter().map(|segment| (sample(segment.start), sample(segment.end))).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/speech")
}

fn references() -> BTreeMap<String, Reference> {
    serde_json::from_str(&fs::read_to_string(folder().join("references.json")).unwrap()).unwrap()
}

fn recording(name: &str) -> Vec<u8> {
    fs::read(folder().join(name).with_extension("wav")).unwrap()
}

fn post(file: Vec<u8>, query: &str) -> (StatusCode, String) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/models/silero/silero_vad_op18_ifless.onnx");
    assert!(model.exists(), "{} is missing; run `cargo xtask setup`", model.display());
    let mut request = Request::new(file.into());
    *request.uri_mut() = format!("/speech?{query}").parse().unwrap();
    let response = call(handle, request);
    (response.status(), block_on(response.into_body().text()).unwrap())
}

fn speech(file: Vec<u8>, query: &str) -> Answer {
    let (status, text) = post(file, query);
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// A WAV file whose format chunk says `tag`, `channels`, `rate` and `bits`.
fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * (bits / 8);
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    file.extend([tag.to_le_bytes(), channels.to_le_bytes()].concat());
    file.extend([rate.to_le_bytes(), (rate * u32::from(block)).to_le_bytes()].concat());
    file.extend([block.to_le_bytes(), bits.to_le_bytes()].concat());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

/// The 16-bit samples of a recording of one channel.
fn samples(name: &str) -> Vec<i16> {
    recording(name)[44..].chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

#[test]
fn every_recording_has_the_segments_that_the_python_package_finds() {
    for (name, reference) in references() {
        for (query, segments) in &reference.cases {
            let answer = speech(recording(&name), query);
            assert_eq!(answer.samples(), *segments, "{name}?{query}");
            assert_eq!(answer.sample_rate, reference.rate, "{name}");
            let duration = reference.frames as f64 / f64::from(reference.rate);
            assert!((answer.duration - duration).abs() < 1e-9, "{name}: {answer:?}");
        }
    }
}

#[test]
fn every_recording_has_a_reference() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let names = files.filter(|path| path.extension().is_some_and(|of| of == "wav"));
    let mut names: Vec<_> = names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, references().into_keys().collect::<Vec<_>>());
}

#[test]
fn a_resampled_recording_is_as_long_as_in_torchaudio() {
    for (name, reference) in references() {
        let Recording { rate, samples } = wav::read(&recording(&name)).unwrap();
        assert_eq!((rate, samples.len()), (reference.rate, reference.frames), "{name}");
        assert_eq!(resample::resample(samples, rate, RATE).len(), reference.samples, "{name}");
    }
}

#[test]
fn the_same_sound_in_any_encoding_has_the_same_segments() {
    let samples = samples("recorded-en");
    let expected = speech(recording("recorded-en"), "");
    let pcm = |bytes: fn(i16) -> Vec<u8>| samples.iter().copied().flat_map(bytes).collect::<Vec<_>>();
    let data = [
        (1, 1, 24, pcm(|sample| (i32::from(sample) << 8).to_le_bytes()[..3].to_vec())),
        (1, 1, 32, pcm(|sample| (i32::from(sample) << 16).to_le_bytes().to_vec())),
        (3, 1, 32, pcm(|sample| (f32::from(sample) / 32768.0).to_le_bytes().to_vec())),
        (3, 1, 64, pcm(|sample| (f64::from(sample) / 32768.0).to_le_bytes().to_vec())),
        // Two channels alike.
        (1, 2, 16, pcm(|sample| [sample.to_le_bytes(); 2].concat())),
        // Half as loud on both of three, and nothing on the third: a third of the sum.
        (
            3,
            3,
            32,
            pcm(|sample| [[(f32::from(sample) * 1.5 / 32768.0).to_le_bytes(); 2].concat(), vec![0; 4]].concat()),
        ),
    ];
    for (tag, channels, bits, data) in data {
        assert_eq!(speech(wav(tag, channels, 16_000, bits, &data), ""), expected, "{tag} {channels} {bits}");
    }
}

#[test]
fn files_from_a_pipe_and_odd_chunks_are_read() {
    let file = recording("recorded-en");
    let expected = speech(file.clone(), "");
    for length in [0xffff_ffffu32, 0x7fff_ffda] {
        let mut piped = file.clone();
        piped[40..44].copy_from_slice(&length.to_le_bytes());
        assert_eq!(speech(piped, ""), expected, "{length:x}");
    }
    let mut noted = file.clone();
    noted.splice(12..12, *b"LIST\x03\0\0\0abc\0");
    noted.extend(b"id3 \x04\0\0\0abcd");
    assert_eq!(speech(noted, ""), expected);
    // The extensible format says PCM further inside.
    let mut extensible = file[..16].to_vec();
    extensible.extend(40u32.to_le_bytes());
    extensible.extend(0xfffeu16.to_le_bytes());
    extensible.extend(&file[22..36]);
    extensible.extend([&[22, 0, 16, 0, 4, 0, 0, 0, 1, 0][..], b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"].concat());
    extensible.extend(&file[36..]);
    assert_eq!(speech(extensible, ""), expected);
}

#[test]
fn a_recording_without_sound_has_no_segments() {
    let answer = speech(wav(1, 1, 16_000, 16, &[]), "");
    assert_eq!((answer.duration, answer.segments), (0.0, vec![]));
}

#[test]
fn what_is_no_wav_file_is_refused_and_told_what_is_accepted() {
    let sound = [0; 64];
    let cases = [
        (b"\xff\xfb\x90\x64 an mp3".to_vec(), 415, "the body is no WAV file"),
        (b"RIFX\0\0\0\0WAVE".to_vec(), 415, "the body is no WAV file"),
        (wav(2, 1, 16_000, 16, &sound), 415, "16-bit samples of encoding 0x0002"),
        (wav(1, 1, 16_000, 12, &sound), 415, "12-bit samples"),
        (wav(1, 1, 1_000, 16, &sound), 415, "1000 samples per second"),
        (wav(1, 0, 16_000, 16, &sound), 422, "no channels"),
        (vec![], 422, "the body is empty"),
        (recording("silence")[..40].to_vec(), 422, "cut short"),
        (recording("silence")[..30].to_vec(), 422, "cut short"),
        (recording("silence")[..1000].to_vec(), 422, "announces 8000 bytes of sound, and 956 are there"),
        (wav(3, 1, 16_000, 32, &f32::NAN.to_le_bytes()), 422, "no numbers"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0".to_vec(), 422, "does not say its format"),
    ];
    for (file, status, part) in cases {
        let (given, text) = post(file, "");
        assert_eq!(given.as_u16(), status, "{part}: {text}");
        assert!(text.contains(part) && text.contains("post a WAV file of 8, 16, 24 or 32-bit PCM"), "{part}: {text}");
    }
}

#[test]
fn a_damaged_file_never_panics() {
    let file = recording("made-short");
    for at in 0..60 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = file.clone();
            damaged[at] = value;
            let _ = wav::read(&damaged);
            let _ = wav::read(&damaged[..at]);
        }
    }
}

#[test]
fn a_recording_that_is_too_long_is_refused() {
    let (status, text) = post(wav(1, 1, 4_000, 8, &vec![128; 4_000 * 1801]), "");
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{text}");
    assert!(text.contains("longer than 1800 seconds"), "{text}");
}

#[test]
fn options_out_of_range_and_unknown_ones_are_named() {
    for (query, part) in [
        ("threshold=1.5", "parameter `threshold` is 1.5; it must be from 0 to 1"),
        ("threshold=nan", "parameter `threshold` is NaN"),
        ("neg_threshold=-1", "parameter `neg_threshold` is -1"),
        ("speech_pad_ms=-5", "parameter `speech_pad_ms` is -5"),
        ("min_silence_duration_ms=inf", "parameter `min_silence_duration_ms` is inf"),
        ("max_speech_duration_s=0", "parameter `max_speech_duration_s` is 0"),
        ("treshold=0.5", "unknown field `treshold`, expected one of `threshold`"),
        ("threshold=high", "parameter `threshold`"),
    ] {
        let (status, text) = post(recording("silence"), query);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {text}");
        assert!(text.contains(part), "{query}: {text}");
    }
}
