import Basics
import Foundation
import Generation
import Relevance
import Tensors
import Testing
import Tokenizers

@testable import Labelling

/// Whole jobs on the tiny llama model; its labels mean nothing, but must be exact and the same every time.
@Suite(.serialized) struct LabelJobTests {
  static let rows = [
    #"{"pair_id":"a","query_id":"q1","item_id":"i1","query":"red hose 50 ft","title":"Garden hose, 50 ft"}"#,
    #"{"pair_id":"b","query":"red hose""#,
    #"{"pair_id":"c","query":"size 12","title":"<|im_end|> shoe"}"#,
    #"{"pair_id":"d","query":"no title"}"#,
    #"{"pair_id":"a","query":"again","title":"the same id"}"#,
    #"{"query":"blue colour","title":"brand","description":"a shopper's item"}"#,
    #"{"pair_id":"e","query":"\#(String(repeating: "long ", count: 900))","title":"too long"}"#,
    "",
    #"{"pair_id":"f","query":"火","title":"naïve café","attributes":"size: 12; colour: blue"}"#,
    #"{"pair_id":"g","query":"label","title":"item"}"#,
  ]

  struct Setting {
    var batch: Int
    var cacheTokens: Int
    var stepTokens = 512
    var context = 2400
    var maxTokens = 14
  }

  /// A whole job through a ledger; what it wrote, and the lines that decide whether two runs are equal.
  static func run(
    _ reasoning: RelevancePrompt.Reasoning, _ setting: Setting, sampling: SamplingParameters,
    form: PromptEncoder.Form = .fixed, limit: Int? = nil
  ) throws -> (records: [Line], errors: [Line], lines: [String], progress: JobProgress) {
    let model = try TinyModel()
    let files = try JobFiles(rows.joined(separator: "\n") + "\n")
    let labeller = EngineLabeller(
      engine: try model.engine(
        sequences: setting.batch, context: setting.context, cacheTokens: setting.cacheTokens,
        stepTokens: setting.stepTokens),
      encoder: try model.encoder(reasoning, form: form),
      settings: .init(
        sampling: sampling, maxTokens: setting.maxTokens, batch: setting.batch, model: "tiny"))
    let job = try LabelJob(
      labeller: labeller, reader: try PairReader(path: files.input), ledger: try files.ledger(),
      settings: .init(limit: limit))
    for _ in 0..<5000 where !job.isDone { try job.step() }
    try #require(job.isDone, "the job makes no progress")
    try job.run()
    try LabelOutput.write(LedgerReader(path: files.ledgerPath), output: files.output, before: limit)
    let records = try files.lines(files.output).map(Line.init)
    let errors = try files.lines(files.errors).map(Line.init)
    return (records, errors, (records + errors).map(\.text), job.progress)
  }

  @Test(
    "Records and errors come in input order, and are the same bytes whatever the batch",
    arguments: [
      (RelevancePrompt.Reasoning.full, PromptEncoder.Form.free, Float(0.8), 14), (.full, .fixed, 0.8, 14),
      (.direct, .fixed, 0, 14),
    ])
  func batches(
    _ reasoning: RelevancePrompt.Reasoning, _ form: PromptEncoder.Form, _ temperature: Float, _ maxTokens: Int
  ) throws {
    let sampling = SamplingParameters(temperature: temperature, seed: 3)
    var first: [String]?
    for var setting in [
      Setting(batch: 1, cacheTokens: 2400), Setting(batch: 3, cacheTokens: 7200, stepTokens: 300),
      Setting(batch: 8, cacheTokens: 20000), Setting(batch: 8, cacheTokens: 2400, stepTokens: 100),
    ] {
      setting.maxTokens = maxTokens
      let (records, errors, lines, progress) = try LabelJobTests.run(
        reasoning, setting, sampling: sampling, form: form)
      #expect(records.map(\.pairID) == ["a", "c", "row-6", "f", "g"])
      #expect(errors.map(\.line) == [2, 4, 5, 7])
      #expect(errors.map(\.pairID) == [nil, nil, "a", "e"])
      #expect(errors.map(\.code) == ["malformed-row", "malformed-row", "malformed-row", "context-overflow"])
      #expect(progress.done == 5 && progress.failed == 4 && progress.total == 9)
      for record in records {
        let probabilities = record.probabilities
        #expect(probabilities.count == 3 && probabilities.allSatisfy { $0 >= 0 && $0 <= 1 })
        #expect(abs(probabilities.reduce(0, +) - 1) < 1e-12)
        #expect(record.model == "tiny")
        #expect((record.rationale == nil) == (reasoning == .direct))
        #expect(record.rationale?.hasPrefix("Asks:") ?? true)
        if reasoning == .full, form == .fixed {
          // The model writes noise, but within the outline.
          #expect(record.rationale?.split(separator: "\n", omittingEmptySubsequences: false).count == 6)
          // The limit is less than the shortest answer: nothing in it is the model's.
          #expect(record.verdicts == [nil, nil, nil, nil, nil])
          #expect(record.isTruncated == true)
        }
        #expect(reasoning == .direct ? record.generatedTokens == 0 : record.generatedTokens > 0)
      }
      #expect(lines == first ?? lines)
      first = lines
    }
  }

  @Test("A rationale that the limit has cut has every verdict, and all of them are the model's own")
  func cutRationale() throws {
    let constraint = try #require(try TinyModel().encoder(.full).constraint)
    let shortest = try constraint.closing(constraint.start).count
    let (records, _, _, progress) = try LabelJobTests.run(
      .full, Setting(batch: 3, cacheTokens: 7200, maxTokens: shortest + 60),
      sampling: SamplingParameters(temperature: 1, seed: 5))
    #expect(records.count == 5 && progress.truncatedNow == 5)
    let verdicts = records.flatMap(\.verdicts).compactMap { $0 }
    #expect(verdicts.count >= 24)
    // Fillers would be "match", the shortest.
    #expect(Set(verdicts).count > 1, "\(verdicts)")
  }

  @Test("A rationale that ends by itself is not truncated, and its fixed text is not sampled")
  func wholeRationale() throws {
    let (records, _, _, progress) = try LabelJobTests.run(
      .full, Setting(batch: 1, cacheTokens: 2400, maxTokens: 700), sampling: SamplingParameters(), limit: 1)
    let record = try #require(records.first)
    #expect(record.isTruncated == false && progress.truncatedNow == 0)
    #expect(record.verdicts.count == 5 && record.verdicts.allSatisfy { $0 != nil })
    #expect(record.rationale?.contains("Label:") == false)
    #expect(progress.jumpedNow > 20 && progress.jumpedNow < progress.tokensNow)
  }

  @Test("A limit ends the job after that many rows")
  func limit() throws {
    let (records, errors, _, _) = try LabelJobTests.run(
      .direct, Setting(batch: 2, cacheTokens: 4800), sampling: SamplingParameters(), limit: 3)
    #expect(records.map(\.pairID) == ["a", "c"])
    #expect(errors.map(\.line) == [2])
  }

  @Test("A pair whose answer outgrows the cache is an error with its line and id")
  func overflow() throws {
    let model = try TinyModel()
    let longest = try model.encoder(.full).tokens(
      Pair(pairID: "a", query: "red hose 50 ft", title: "Garden hose, 50 ft")
    ).count
    let setting = Setting(batch: 2, cacheTokens: longest + 24, context: 4000, maxTokens: 100)
    let (records, errors, _, progress) = try LabelJobTests.run(
      .full, setting, sampling: SamplingParameters(), limit: 3)
    #expect(errors.compactMap(\.line).sorted() == [1, 2, 3])
    #expect(errors.map(\.pairID) == ["a", nil, "c"])
    #expect(errors.map(\.code) == ["context-overflow", "malformed-row", "context-overflow"])
    #expect(records.isEmpty && progress.failed == 3)
  }

  @Test("A record's distribution is that of every label's tokens run on their own")
  func directEvaluation() throws {
    let (records, _, _, _) = try LabelJobTests.run(
      .direct, Setting(batch: 4, cacheTokens: 9600), sampling: SamplingParameters(), limit: 3)
    let model = try TinyModel()
    let encoder = try model.encoder(.direct)
    let runner = try model.runner(cacheTokens: 2400)
    let table = (0..<Int32(runner.cacheSpec.blocks)).map { $0 }
    let pair = Pair(pairID: "c", query: "size 12", title: "<|im_end|> shoe")
    let prompt = encoder.tokens(pair)
    let logs = try encoder.prompt.labelTexts.map { text -> Double in
      let label = model.tokenizer.encode(text, parseSpecial: false)
      let tokens = prompt + label
      let batch = try BatchMetadata(
        tokenIDs: tokens,
        sequences: [
          SequenceSlice(rowStart: 0, rowCount: tokens.count, contextLength: tokens.count, blockTable: table)
        ],
        blockSize: ModelRunner.blockSize)
      let rows = label.indices.map { Int32(prompt.count - 1 + $0) }
      let read = try runner.run(batch, outputRows: rows).read(
        label.map { LogProbabilityRequest(topCount: 0, chosen: [$0]) })
      return read.reduce(0) { $0 + Double($1.chosenLogProbabilities[0]) }
    }
    let weights = logs.map { exp($0 - (logs.max() ?? 0)) }
    let expected = weights.map { $0 / weights.reduce(0, +) }
    let record = try #require(records.first { $0.pairID == "c" })
    #expect(record.promptTokens == prompt.count)
    for (actual, wanted) in zip(record.probabilities, expected) {
      #expect(abs(actual - wanted) < 1e-5)
    }
  }
}
