import Basics
import Distillation
import Foundation
import ModelFormats
import Relevance
import Scoring
import Tensors
import Testing
import Tokenizers
import Transformers

/// Students written to folders and read back by the scorers.
@Suite(.serialized) struct StudentFolderTests {
  /// A student with the fixture's heads, its folder, and what the trainer predicts.
  final class Exported {
    let tiny: TinyRun
    let pairs: [(query: String, item: String)]
    let predictions: [StudentTrainer.Prediction]
    var folder: String { tiny.path("exported") }

    init(_ kind: StudentKind, reversed: Bool = false) throws {
      tiny = try TinyRun()
      let fixture = try TrainingStep.load()
      let set = try fixture.labelSet()
      let labels = try reversed ? LabelSet(set.labels.reversed()) : set
      let source = try EncoderSource(folder: tiny.model)
      let shape = StudentShape(labels: labels, aspects: fixture.aspects, slotWidth: fixture.settings.slot)
      let student = try kind.make(source, shape: shape, seed: 1, on: tiny.backend)
      let stored = try SafetensorsFile(path: TrainingStep.folder + "/initial.safetensors")
      for head in student.modelHeads + student.extraHeads {
        let name = head.name.hasPrefix("pooler") ? "bert." + head.name : head.name
        try tiny.backend.write(try stored.floats(name), to: head.parameter.value)
      }
      let trainer = StudentTrainer(
        student, settings: try fixture.lossSettings(), dropoutRate: 0.1, precision: .f32, pieceTokens: 64,
        on: tiny.backend)
      let tokenizer = try WordPieceTokenizer(folder: tiny.model)
      // Training and scoring must agree on what a special token in a text is.
      let pairs =
        fixture.rows.map { (query: $0.query, item: $0.title) } + [
          (query: "red [SEP] shoes", item: "[MASK] oak table")
        ]
      let rows = try pairs.map { pair in
        TrainingRow(
          pairID: "",
          texts: try student.texts(
            query: pair.query, item: pair.item, tokenizer: tokenizer,
            maximumLength: fixture.settings.maxLength),
          label: nil, teacher: nil)
      }
      self.pairs = pairs
      predictions = try trainer.predict(rows)
      try StudentFolder(
        student, source: source, baseModel: "tiny", maximumLength: fixture.settings.maxLength,
        on: tiny.backend
      ).write(to: tiny.path("exported"), card: "A student.\n")
    }

    func open() throws -> any StudentScorer {
      try StudentScorers.open(folder: folder, backend: tiny.backend, compute: .f32)
    }

    /// The error of opening it after a file was changed.
    func openingError(_ name: String, _ change: (Data) -> Data?) throws -> RetortError? {
      let url = URL(fileURLWithPath: folder + "/" + name)
      let data = try Data(contentsOf: url)
      defer { try? data.write(to: url) }
      if let changed = change(data) {
        try changed.write(to: url)
      } else {
        try FileManager.default.removeItem(at: url)
      }
      return retortError { _ = try open() }
    }
  }

  @Test(arguments: StudentKind.allCases, [false, true])
  func writtenStudentScoresAsItsTrainerPredicts(kind: StudentKind, reversed: Bool) throws {
    let exported = try Exported(kind, reversed: reversed)
    let scorer = try exported.open()
    let scores = try scorer.scores(exported.pairs)
    let width = scorer.labels.count
    #expect(scorer.labels.first == (reversed ? "irrelevant" : "exact"))
    #expect(scorer.maximumLength == 14)
    #expect(scores.probabilities.count == exported.pairs.count * width)
    for (row, prediction) in exported.predictions.enumerated() {
      for (label, expected) in prediction.probabilities.enumerated() {
        #expect(abs(Double(scores.probabilities[row * width + label]) - expected) < 1e-4)
      }
      #expect((prediction.cosine == nil) == (kind == .interaction))
      if let cosine = prediction.cosine, let found = scores.cosines?[row] {
        #expect(abs(Double(found) - cosine) < 1e-4)
      }
    }
    // A scorer that always said the same would pass the above for a student that does.
    let column = exported.predictions.map { $0.probabilities[0] }
    #expect((column.max() ?? 0) - (column.min() ?? 0) > 0.01)
  }

  @Test(arguments: StudentKind.allCases) func pairsScoreHasTheSameBitsAlone(kind: StudentKind) throws {
    let exported = try Exported(kind)
    let scorer = try exported.open()
    let all = try scorer.scores(exported.pairs).probabilities.map(\.bitPattern)
    let alone = try exported.pairs.flatMap { try scorer.scores([$0]).probabilities.map(\.bitPattern) }
    #expect(all == alone)
  }

  @Test func twoTowersEmbedADistinctTextOnce() throws {
    let exported = try Exported(.representation)
    let scorer = try TwoTowerScorer(folder: exported.folder, backend: exported.tiny.backend, compute: .f32)
    let once = try scorer.score([("red shoes", "oak table")])
    let thrice = try scorer.score([
      ("red shoes", "oak table"), ("oak table", "red shoes"), ("red shoes", "oak table"),
    ])
    #expect(thrice.tokens == once.tokens)
    #expect(thrice.cosines == [Float](repeating: once.cosines[0], count: 3))
    #expect(try scorer.score([]).probabilities.isEmpty)
  }

  @Test func truncatedHeadsAreRefused() throws {
    let exported = try Exported(.representation)
    let size = try Data(contentsOf: URL(fileURLWithPath: exported.folder + "/retort_heads.safetensors")).count
    for length in [0, 7, 8, 60, size / 2, size - 1] {
      let error = try exported.openingError("retort_heads.safetensors") { $0.prefix(length) }
      #expect(error?.code == .malformedFile || error?.code == .fileUnavailable, "\(length) bytes")
      #expect(error?.file?.hasSuffix("retort_heads.safetensors") == true, "\(length) bytes")
    }
    let missing = try exported.openingError("retort_heads.safetensors") { _ in nil }
    #expect(missing?.code == .fileUnavailable)
  }

  @Test func headsOfOtherLabelsAreRefused() throws {
    let exported = try Exported(.representation)
    let error = try exported.openingError("retort.json") { data in
      let text = String(decoding: data, as: UTF8.self)
      return Data(
        text.replacing("\"labels\" : [", with: "\"labels\" : [ {\"gain\": 2, \"name\": \"more\"},").utf8)
    }
    #expect(error?.code == .malformedFile && error?.field == "ordinal")
    let pair = try Exported(.interaction)
    let other = try pair.openingError("retort.json") { data in
      Data(String(decoding: data, as: UTF8.self).replacing("exact", with: "best").utf8)
    }
    #expect(other?.code == .malformedFile && other?.field == "labels")
  }

  @Test(arguments: StudentKind.allCases) func headsOfOtherAspectsAreRefused(kind: StudentKind) throws {
    let exported = try Exported(kind)
    let error = try exported.openingError("retort.json") { data in
      let text = String(decoding: data, as: UTF8.self)
      return Data(text.replacing("\"aspects\" : [", with: "\"aspects\" : [ \"one more\",").utf8)
    }
    #expect(error?.code == .malformedFile && error?.field?.hasPrefix("aspect_") == true)
    #expect(error?.file == exported.folder + "/retort_heads.safetensors")
  }

  @Test(arguments: StudentKind.allCases) func modelThatGivesNoNumbersIsNamed(kind: StudentKind) throws {
    let exported = try Exported(kind)
    let url = URL(fileURLWithPath: exported.folder + "/model.safetensors")
    var data = try Data(contentsOf: url)
    let start = 8 + data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    for place in start..<data.count { data[place] = 0xFF }
    try data.write(to: url)
    let scorer = try exported.open()
    let error = retortError { _ = try scorer.scores(exported.pairs) }
    #expect(error?.code == .malformedFile && error?.file == exported.folder)
  }

  @Test(arguments: [
    ("\"format\" : 1", "\"format\" : 2", RetortError.Code.unsupported),
    ("\"max_length\" : 14", "\"max_length\" : -1", .malformedFile),
    ("\"max_length\" : 14", "\"max_length\" : 900", .invalidArgument),
    ("\"slot_width\" : 8", "\"slot_width\" : 0", .malformedFile),
    ("\"gain\" : 1", "\"gain\" : 0", .malformedFile),
    ("representation", "oracle", .malformedFile), ("{", "", .malformedFile),
  ])
  func badDescriptionIsRefused(from: String, to: String, code: RetortError.Code) throws {
    let exported = try Exported(.representation)
    let error = try exported.openingError("retort.json") { data in
      let text = String(decoding: data, as: UTF8.self)
      guard text.contains(from) else { return data }
      return Data(text.replacing(from, with: to).utf8)
    }
    #expect(error?.code == code)
  }

  @Test func eachScorerRefusesTheOtherKind() throws {
    let pair = try Exported(.interaction)
    let error = retortError { _ = try TwoTowerScorer(folder: pair.folder, backend: pair.tiny.backend) }
    #expect(error?.code == .unsupported && error?.field == "student")
    let towers = try Exported(.representation)
    let other = retortError { _ = try PairScorer(folder: towers.folder, backend: towers.tiny.backend) }
    #expect(other?.code == .malformedFile)
  }
}
