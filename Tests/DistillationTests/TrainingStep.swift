import Basics
import Distillation
import Foundation
import ModelFormats
import Relevance
import Tensors
import Testing
import Tokenizers

/// The fixture Tests/Fixtures/training-step: a batch, and what PyTorch made of it.
struct TrainingStep: Decodable {
  struct Label: Decodable {
    let name: String
    let gain: Double
  }

  struct Settings: Decodable {
    let weightDecay: Float
    let temperature: Double
    let slot: Int
    let headFactor: Float
    let maxLength: Int
    let lossWeights: [String: Double]
  }

  struct Row: Decodable {
    let query: String
    let title: String
    let pairIds: [Int32]
    let pairTypes: [Int32]
    let queryIds: [Int32]
    let titleIds: [Int32]
    let label: Int
    let teacher: [Double]?
    let verdicts: [Int]?
  }

  struct Step: Decodable {
    let rate: Float
    let loss: Double
    let gradientNorm: Double
  }

  struct Student: Decodable {
    let loss: Double
    let parts: [String: Double]
    let steps: [Step]
  }

  let labels: [Label]
  let aspects: [String]
  let settings: Settings
  let rows: [Row]
  let interaction: Student
  let representation: Student

  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/training-step").path

  static func load() throws -> TrainingStep {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(
      TrainingStep.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/cases.json")))
  }

  func result(_ kind: StudentKind) -> Student { kind == .interaction ? interaction : representation }

  func labelSet() throws -> LabelSet {
    try LabelSet(labels.map { Relevance.Label(name: $0.name, gain: $0.gain) })
  }

  func lossSettings() throws -> LossSettings {
    var weights: [LossTerm: Double] = [:]
    for term in LossTerm.allCases { weights[term] = settings.lossWeights[term.rawValue] }
    return try LossSettings(weights: weights, temperature: settings.temperature)
  }

  func trainingRows(_ kind: StudentKind) throws -> [TrainingRow] {
    let labels = try labelSet()
    return try rows.enumerated().map { index, row in
      let zeros = { (ids: [Int32]) in [Int32](repeating: 0, count: ids.count) }
      let texts =
        kind == .interaction
        ? [EncodedText(ids: row.pairIds, typeIDs: row.pairTypes)]
        : [row.queryIds, row.titleIds].map { EncodedText(ids: $0, typeIDs: zeros($0)) }
      let teacher = try row.teacher.map { probabilities in
        TrainingRow.Teacher(
          try LabelDistribution(labels: labels, probabilities: probabilities),
          verdicts: (row.verdicts ?? aspects.map { _ in -1 }).map { $0 < 0 ? nil : Verdict.allCases[$0] })
      }
      return TrainingRow(
        pairID: "\(index)", texts: texts, label: row.label < 0 ? nil : row.label, teacher: teacher)
    }
  }

  /// The first weights as a folder that an encoder is read from.
  static func modelFolder() throws -> String {
    let target = FileManager.default.temporaryDirectory.appendingPathComponent("training-step-\(UUID())").path
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    for (from, to) in [
      ("config.json", "config.json"), ("vocab.txt", "vocab.txt"),
      ("initial.safetensors", "model.safetensors"),
    ] {
      try FileManager.default.copyItem(atPath: folder + "/" + from, toPath: target + "/" + to)
    }
    return target
  }
}

extension SafetensorsFile {
  /// The elements of a Float32 tensor.
  func floats(_ name: String) throws -> [Float] {
    let info = try #require(tensors[name], "\(name) is not in \(path)")
    return bytes(of: info).withMemoryRebound(to: Float.self) { Array($0) }
  }
}
