import Basics
import Foundation
import Testing

@testable import Relevance

@Suite struct LabelCalibrationTests {
  @Test func temperatureIsAPowerOfTheProbabilities() throws {
    let p = [0.7, 0.2, 0.1]
    for temperature in [0.01, 0.5, 1, 2, 100] {
      let found = try LabelCalibration(temperature: temperature).apply(p)
      let weights = p.map { pow($0, 1 / temperature) }
      let total = weights.reduce(0, +)
      for (value, weight) in zip(found, weights) { #expect(abs(value - weight / total) < 1e-12) }
    }
  }

  @Test func biasMultipliesByItsExponential() throws {
    let found = try LabelCalibration(temperature: 1, bias: [log(2), 0]).apply([0.5, 0.5])
    #expect(abs(found[0] - 2.0 / 3) < 1e-12)
  }

  @Test func zeroProbabilitiesGiveNumbers() throws {
    let found = try LabelCalibration(temperature: 0.01, bias: [0, 0, 0]).apply([0, 1, 0])
    #expect(found == [0, 1, 0])
    let flat = try LabelCalibration(temperature: 100).apply([0, 1, 0])
    #expect(flat.allSatisfy { $0 > 0 } && abs(flat.reduce(0, +) - 1) < 1e-12)
  }

  @Test("Temperatures out of range, endless biases and another number of labels are refused")
  func refused() throws {
    for temperature in [0, -1, 0.009, 101, .nan, .infinity] {
      #expect(
        thrownError { _ = try LabelCalibration(temperature: temperature) }?.field == "temperature-label")
    }
    #expect(thrownError { _ = try LabelCalibration(temperature: 1, bias: [.nan]) }?.field == "bias")
    let two = try LabelCalibration(temperature: 1, bias: [0, 0])
    #expect(thrownError { _ = try two.apply([0.2, 0.3, 0.5]) }?.code == .invalidArgument)
  }

  @Test func recordsTellWhatWasApplied() throws {
    let calibration = try LabelCalibration(name: "shop", temperature: 2, bias: [0.5, 0, -0.5])
    let raw = try LabelDistribution(labels: .standard, probabilities: [0.5, 0.25, 0.25])
    func record(_ calibration: LabelCalibration?) throws -> LabelRecord {
      LabelRecord(
        pair: Pair(pairID: "p", query: "a", title: "b"),
        distribution: try calibration?.apply(raw) ?? raw, rationaleText: nil, rationale: nil,
        promptTokens: 1, generatedTokens: 0, model: "m", promptHash: "00", calibration: calibration)
    }
    #expect(try !record(nil).json.contains("calibration"))
    #expect(
      try record(calibration).json.hasSuffix(
        #""prompt_hash":"00","calibration":{"name":"shop","temperature":2.0,"#
          + #""bias":{"exact":0.5,"partial":0.0,"irrelevant":-0.5}}}"#))
    #expect(
      try record(LabelCalibration(temperature: 2)).json.hasSuffix(#","calibration":{"temperature":2.0}}"#))
  }

  private func stored() throws -> StoredCalibration {
    let item = try CalibrationCase.named("overconfident")
    return try StoredCalibration(fitting: item.examples, name: "shop", basis: basis())
  }

  private func basis(
    model: String = "m", files: String = "f", prompt: String = "p", labels: [String] = ["a", "b", "c"],
    settings: [String: String] = ["outline": "fixed", "compute": "f32"]
  ) -> StoredCalibration.Basis {
    StoredCalibration.Basis(
      model: model, modelFingerprint: files, promptHash: prompt, labels: labels, settings: settings)
  }

  @Test func storedCalibrationsComeBackAsTheyWere() throws {
    let stored = try stored()
    #expect(stored.counts.reduce(0, +) == 80)
    #expect(stored.heldOut != nil)
    #expect(try StoredCalibration(json: Array(stored.json.utf8)) == stored)
    let bare = StoredCalibration(
      calibration: stored.calibration, basis: stored.basis, counts: stored.counts, before: stored.before,
      after: stored.after, heldOut: nil)
    #expect(try StoredCalibration(json: Array(bare.json.utf8)) == bare)
  }

  @Test("A calibration for another model, prompt, label set or outline is refused by what differs")
  func otherBasis() throws {
    let stored = try stored()
    #expect(try stored.calibration(for: basis()) == stored.calibration)
    // Another rounding is not another teacher, but worth a word.
    #expect(stored.caution(for: basis()) == nil)
    #expect(stored.caution(for: basis(settings: ["compute": "int8"]))?.contains("f32") == true)
    #expect(
      try stored.calibration(for: basis(settings: ["outline": "fixed", "compute": "int8"]))
        == stored.calibration)
    // It maps each rationale's distribution, however many are read.
    #expect(
      try stored.calibration(for: basis(settings: ["outline": "fixed", "samples": "5", "seed": "1"]))
        == stored.calibration)
    for (other, said) in [
      (basis(model: "n"), "model was m, is n"), (basis(files: "g"), "the model's files was f, is g"),
      (basis(prompt: "q"), "prompt was p, is q"), (basis(labels: ["a", "b"]), "labels was a, b, c, is a, b"),
      (basis(settings: ["outline": "free"]), "outline was fixed, is free"),
      (basis(settings: ["outline": "fixed", "template": "plain"]), "template was unset, is plain"),
    ] {
      let error = thrownError { _ = try stored.calibration(for: other) }
      #expect(error?.code == .invalidArgument)
      #expect(error?.message.contains(said) == true, "\(error?.message ?? "")")
    }
  }

  @Test func storesWriteReadListAndReplace() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let store = CalibrationStore(folder: folder + "/deep")
    let stored = try stored()
    let missing = thrownError { _ = try store.read("shop") }
    #expect(missing?.code == .fileUnavailable && missing?.remedy.contains("none") == true)
    #expect(try store.write(stored, as: "shop") == folder + "/deep/shop.json")
    try store.write(stored, as: "shop")
    try store.write(stored, as: folder + "/elsewhere.json")
    #expect(store.names == ["shop"])
    #expect(try store.read("shop") == stored)
    #expect(try store.read(folder + "/elsewhere.json") == stored)
    #expect(thrownError { _ = try store.read("other") }?.remedy.contains("Fitted: shop") == true)
    for name in ["", ".hidden", "a b", "é", String(repeating: "a", count: 101)] {
      #expect(thrownError { _ = try store.write(stored, as: name) }?.code == .invalidArgument)
    }
  }

  @Test func tornAndForeignFilesAreRefused() throws {
    let bytes = Array(try stored().json.utf8)
    for end in stride(from: 0, to: bytes.count - 2, by: 7) {
      let error = thrownError { _ = try StoredCalibration(json: Array(bytes[..<end])) }
      #expect(error?.code == .malformedFile)
    }
    let text = String(decoding: bytes, as: UTF8.self)
    for (part, other, code) in [
      (#""format":1"#, #""format":2"#, RetortError.Code.unsupported),
      (#""model":"m""#, #""model":3"#, .malformedFile), (#""labels":["#, #""label":["#, .malformedFile),
      (#""temperature":"#, #""temperature":-"#, .invalidArgument),
      (#""pairs":"#, #""pairs":-"#, .malformedFile),
      (#""before":{"#, #""before":[{"#, .malformedFile), (#""log_loss":"#, #""loss":"#, .malformedFile),
    ] {
      let changed = text.replacing(part, with: other, maxReplacements: 1)
      #expect(changed != text)
      #expect(thrownError { _ = try StoredCalibration(json: Array(changed.utf8)) }?.code == code, "\(part)")
    }
  }
}
