import Basics
import Foundation
import Relevance
import Testing

@testable import Generation
@testable import Labelling

/// Several rationales a pair, on the tiny llama model.
@Suite(.serialized) struct SampleTests {
  static let pairs = [
    Pair(pairID: "a", query: "red hose 50 ft", title: "Garden hose, 50 ft"),
    Pair(pairID: "b", query: "red hose 50 ft", title: "Red paint"),
    Pair(pairID: "c", query: "size 12", title: "shoe"),
    Pair(pairID: "d", query: "size 12", title: "shoe, size 12"),
    Pair(pairID: "e", query: "label", title: "item"),
  ]

  struct Setting {
    var samples = 3
    var batch = 1
    var cacheTokens = 2400
    var seed: UInt64 = 7
    var keepsAll = true
    var isReversed = false
    var calibration: LabelCalibration?
  }

  /// Each pair's record as JSON, by id, and the most pairs and the most sequences that were in flight.
  static func label(_ setting: Setting) throws -> (records: [String: String], pairs: Int, sequences: Int) {
    let model = try TinyModel()
    let encoder = try model.encoder(.full)
    let constraint = try #require(encoder.constraint)
    let maxTokens = try constraint.closing(constraint.start).count + 40
    var settings = EngineLabeller.Settings(
      sampling: SamplingParameters(temperature: 0.9, topP: 0.95, seed: setting.seed),
      samples: setting.samples, keepsAllSamples: setting.keepsAll, maxTokens: maxTokens,
      batch: setting.batch, model: "tiny")
    settings.calibration = setting.calibration
    let labeller = EngineLabeller(
      engine: try model.engine(sequences: setting.batch, context: 2400, cacheTokens: setting.cacheTokens),
      encoder: encoder, settings: settings)
    var queue = (setting.isReversed ? pairs.reversed() : pairs).enumerated().map {
      PairWork(row: $0.offset, line: $0.offset + 1, pair: $0.element)
    }[...]
    var records: [String: String] = [:]
    var (inFlight, most, mostSequences) = (0, 0, 0)
    for _ in 0..<5000 where !queue.isEmpty || inFlight > 0 {
      while inFlight < labeller.capacity, let work = queue.popFirst() {
        try labeller.submit(work)
        inFlight += 1
      }
      (most, mostSequences) = (max(most, inFlight), max(mostSequences, labeller.engine.count))
      for result in try labeller.step() {
        inFlight -= 1
        let record = try result.outcome.get()
        #expect(records.updateValue(record.json, forKey: record.pairID) == nil)
      }
    }
    return (records, most, mostSequences)
  }

  static func samples(_ record: String?) throws -> [[String: Any]] {
    let object = try JSONSerialization.jsonObject(with: Data(try #require(record).utf8)) as? [String: Any]
    return object?["samples"] as? [[String: Any]] ?? []
  }

  @Test("A pair's samples are the same in any batch, order and cache, and the first is what one sample gives")
  func invariance() throws {
    let (reference, _, _) = try SampleTests.label(Setting())
    #expect(reference.count == 5)
    for setting in [
      Setting(batch: 8, cacheTokens: 20000), Setting(batch: 7, cacheTokens: 9600, isReversed: true),
      Setting(batch: 32, cacheTokens: 4000),
    ] {
      #expect(try SampleTests.label(setting).records == reference, "\(setting)")
    }
    let (single, _, _) = try SampleTests.label(Setting(samples: 1, batch: 4, cacheTokens: 9600))
    for pair in SampleTests.pairs {
      let samples = try SampleTests.samples(reference[pair.pairID])
      let texts = samples.compactMap { $0["rationale"] as? String }
      #expect(samples.count == 3 && Set(texts).count > 1)
      #expect(texts.first == Line(single[pair.pairID] ?? "").rationale)
    }
  }

  @Test("Mean, votes and kept rationale of a record follow from its samples")
  func aggregation() throws {
    let (records, _, _) = try SampleTests.label(Setting(samples: 5, batch: 10, cacheTokens: 20000))
    for record in records.values {
      let samples = try SampleTests.samples(record)
      let line = Line(record)
      for (place, name) in LabelSet.standard.names.enumerated() {
        let values = samples.compactMap { ($0["probabilities"] as? [String: Double])?[name] }
        #expect(abs(values.reduce(0, +) / 5 - line.probabilities[place]) < 1e-12)
      }
      let label = try #require(line["label"] as? String)
      let votes = try #require(line["votes"] as? [String: Int])
      #expect(votes[label] == votes.values.max() && votes.values.reduce(0, +) == 5)
      #expect(samples.count { $0["label"] as? String == label } == votes[label])
      let agreeing = samples.filter { $0["label"] as? String == label }
      let surest = agreeing.max {
        (($0["probabilities"] as? [String: Double])?[label] ?? 0)
          < (($1["probabilities"] as? [String: Double])?[label] ?? 0)
      }
      #expect(surest?["rationale"] as? String == line.rationale)
      let generated = samples.compactMap { ($0["tokens"] as? [String: Int])?["generated"] }
      #expect(line.generatedTokens == generated.reduce(0, +))
    }
  }

  @Test("A calibration maps each rationale's distribution before the vote")
  func calibratedSamples() throws {
    var setting = Setting(batch: 3, cacheTokens: 9600)
    let plain = try SampleTests.label(setting).records
    // Enough for the second label to win every vote.
    setting.calibration = try LabelCalibration(temperature: 2, bias: [-20, 40, -20])
    let mapped = try SampleTests.label(setting).records
    let second = LabelSet.standard.names[1]
    for pair in SampleTests.pairs {
      let before = try SampleTests.samples(plain[pair.pairID])
      let after = try SampleTests.samples(mapped[pair.pairID])
      #expect(
        before.compactMap { $0["rationale"] as? String } == after.compactMap { $0["rationale"] as? String })
      #expect(after.count == 3 && after.allSatisfy { $0["label"] as? String == second })
      let line = Line(try #require(mapped[pair.pairID]))
      #expect(line["label"] as? String == second)
      #expect(
        line["votes"] as? [String: Int] == [
          second: 3, LabelSet.standard.names[0]: 0, LabelSet.standard.names[2]: 0,
        ])
    }
  }

  @Test("Another seed draws other rationales, and equal prompts draw equal ones")
  func seeds() throws {
    let first = try SampleTests.label(Setting(samples: 1, batch: 4, cacheTokens: 9600)).records
    let second = try SampleTests.label(Setting(samples: 1, batch: 4, cacheTokens: 9600, seed: 8)).records
    let differing = SampleTests.pairs.filter {
      Line(first[$0.pairID] ?? "").rationale != Line(second[$0.pairID] ?? "").rationale
    }
    #expect(differing.count >= 4)
    #expect(PairSamples.seed(1, prompt: [1, 2, 3]) == PairSamples.seed(1, prompt: [1, 2, 3]))
    var seeds: Set<UInt64> = []
    for job in 0..<20 as Range<UInt64> {
      for token in 0..<20 as Range<Int32> { seeds.insert(PairSamples.seed(job, prompt: [5, token])) }
    }
    #expect(seeds.count == 400)
  }

  @Test("The batch bounds the rationales in flight; a pair's are in flight together in any case")
  func capacity() throws {
    let wide = try SampleTests.label(Setting(samples: 3, batch: 7, cacheTokens: 20000))
    #expect(wide.pairs == 2 && wide.sequences == 6)
    let narrow = try SampleTests.label(Setting(samples: 3, batch: 2, cacheTokens: 20000))
    #expect(narrow.pairs == 1 && narrow.sequences == 3)
    #expect(narrow.records == wide.records)
  }

  @Test("A pair fails only if all its samples fail, with the first one's error")
  func failures() throws {
    let work = PairWork(row: 0, line: 1, pair: SampleTests.pairs[0])
    let sample = LabelSample(
      distribution: try LabelDistribution(labels: .standard, probabilities: [1, 0, 0]), rationaleText: nil,
      rationale: nil, generatedTokens: 1)
    let completion = Completion(
      promptTokens: 3, tokens: [1], jumpedTokens: 0, limitedTokens: [], logProbabilities: [], text: "",
      finishReason: .stop, choiceLogProbabilities: [])
    let broken = { (code: RetortError.Code) in
      Result<Completion, RetortError>.failure(RetortError(code, "broken", remedy: "None."))
    }
    var pair = PairSamples(work: work, count: 3)
    pair.outcomes[0] = broken(.outOfMemory)
    pair.outcomes[2] = .success(completion)
    #expect(!pair.isComplete)
    pair.outcomes[1] = broken(.deviceFailure)
    #expect(pair.isComplete)
    #expect(try pair.successes { _ in sample }.1.count == 1)
    pair.outcomes[2] = broken(.deviceFailure)
    let all = #expect(throws: RetortError.self) { try pair.successes { _ in sample } }
    #expect(all?.code == .outOfMemory)
    // What cannot be read counts as failed.
    pair.outcomes = [.success(completion)]
    let unread = #expect(throws: RetortError.self) {
      try pair.successes { _ in throw RetortError(.malformedRow, "x", remedy: "y") }
    }
    #expect(unread?.code == .malformedRow)
  }
}
