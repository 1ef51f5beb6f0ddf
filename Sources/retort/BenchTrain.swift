import ArgumentParser
import Basics
import Distillation
import Foundation
import ModelFormats
import Relevance
import Tensors
import Tokenizers
import Training

struct BenchTrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Training steps per second of a student.",
    discussion: """
      Without --input, every text has --length random tokens; with it, the pairs of a file have their own lengths, \
      batch by batch in the file's order. Labels and teacher are made up: the arithmetic is a real step's.

      Example: retort bench train --init minilm-l6 --input pairs.jsonl --batch 32 --steps 20
      """)

  @Option(name: .customLong("init"), help: "A folder with a BERT encoder, or the name of a fetched model.")
  var initial: String
  @Option(help: "Which student.")
  var student: StudentKind = .interaction
  @Option(help: "Pairs whose texts are used.")
  var input: String?
  @Option(help: "Pairs in a step.")
  var batch = 32
  @Option(help: "Tokens of every text without --input.")
  var length = 128
  @Option(help: "Tokens that texts of --input are cut to.")
  var maxLength = 128
  @Option(help: "What products round their operands to: bf16 or f32.")
  var compute: TrainingPrecision = .bf16
  @Option(help: "Steps to time, after one that is not.")
  var steps = 10
  @Option(help: "Tokens that go through the model at once.")
  var pieceTokens = StudentTrainer.defaultPieceTokens
  @Option(help: "Dropout's rate.")
  var dropout = 0.1
  @OptionGroup var options: RunOptions

  func run() throws {
    guard (1...4096).contains(batch), (1...1_000_000).contains(steps), pieceTokens > 0,
      (0..<1).contains(dropout)
    else {
      throw ValidationError(
        "Give a --batch up to 4096, --steps up to a million, positive --piece-tokens, a --dropout below 1.")
    }
    let backend = try options.withoutProfile.makeTrainingBackend()
    let folder = try ModelPath.resolve(initial)
    let source = try EncoderSource(folder: folder)
    let longest = source.configuration.longestInput
    guard (5...longest).contains(input == nil ? length : maxLength) else {
      throw RetortError(
        .invalidArgument, "texts of \(input == nil ? length : maxLength) tokens",
        field: input == nil ? "length" : "max-length",
        remedy: "Give a length from 5 to the model's \(longest).")
    }
    let shape = StudentShape(labels: .standard, aspects: RationaleOutline.standard.names)
    let model = try student.make(source, shape: shape, seed: 1, on: backend)
    let settings = try LossSettings()
    let trainer = StudentTrainer(
      model, settings: settings, dropoutRate: Float(dropout), precision: compute.dtype,
      pieceTokens: pieceTokens, on: backend)
    let optimizer = try Optimizer(model.parameters(settings), Optimizer.Settings(), on: backend)
    let rows = try rows(model, folder: folder, vocabulary: source.configuration.vocabularySize)
    var (tokens, start) = (0, DispatchTime.now().uptimeNanoseconds)
    for step in 0...steps {
      if step == 1 {
        if options.profiling.isOn() {
          RunProfile.shared.attach(backend, options.profiling, json: options.json)
        }
        (tokens, start) = (0, DispatchTime.now().uptimeNanoseconds)
      }
      let first = step * batch % rows.count
      let places = (0..<batch).map { (first + $0) % rows.count }
      tokens += try trainer.step(places.map { rows[$0] }, key: UInt64(step)).tokens
      try optimizer.update(rateFactor: 1)
    }
    try backend.synchronize()
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
    try report(tokens, seconds)
  }

  private func rows(_ model: any Student, folder: String, vocabulary: Int) throws -> [TrainingRow] {
    let teacher = TrainingRow.Teacher(
      try LabelDistribution(labels: .standard, probabilities: [0.7, 0.2, 0.1]),
      verdicts: RationaleOutline.standard.names.map { _ in .match })
    guard let input else {
      let random = Philox(key: 1)
      let texts = model.kind == .interaction ? 1 : 2
      return (0..<batch).map { row in
        let words = (0..<texts).map { text in
          EncodedText(
            ids: (0..<length).map { place in
              Int32(random.words(UInt64(place), UInt64(row * texts + text))[0] % UInt32(vocabulary))
            }, typeIDs: [Int32](repeating: 0, count: length))
        }
        return TrainingRow(pairID: "\(row)", texts: words, label: row % 3, teacher: teacher)
      }
    }
    let reader = try PairReader(path: input)
    let tokenizer = try WordPieceTokenizer(folder: folder)
    var rows: [TrainingRow] = []
    while rows.count < batch * (steps + 1), let row = try reader.next() {
      guard case .pair(let pair, _) = row else { continue }
      let texts = try model.texts(
        query: pair.query, item: pair.title, tokenizer: tokenizer, maximumLength: maxLength)
      rows.append(TrainingRow(pairID: pair.pairID, texts: texts, label: rows.count % 3, teacher: teacher))
    }
    guard !rows.isEmpty else {
      throw RetortError(
        .invalidArgument, "the file has no pairs", file: input, field: "input",
        remedy: "Give pairs with query and title.")
    }
    return rows
  }

  private func report(_ tokens: Int, _ seconds: Double) throws {
    let (rate, speed) = (Double(steps) / seconds, Double(tokens) / seconds)
    if options.json {
      return Output.write(
        try Output.json([
          "steps_per_second": rate, "tokens_per_second": speed, "pairs_per_second": rate * Double(batch),
          "student": student.rawValue, "compute": compute.rawValue, "steps": steps, "tokens": tokens,
        ]))
    }
    Output.write(
      String(
        format: "%.2f steps/s, %.0f pairs/s, %.0f tokens/s (%d tokens in %d steps)\n", rate,
        rate * Double(batch), speed, tokens, steps))
  }
}
