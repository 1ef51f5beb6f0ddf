import Basics
import Foundation
import Relevance
import Tensors
import Transformers

/// Computes a student's losses, gradients and predictions.
public final class StudentTrainer {
  public let student: any Student
  public let settings: LossSettings
  public let dropoutRate: Float
  let backend: any TrainingBackend
  let precision: DType
  /// Tokens of a piece: a batch of more is computed in pieces, whose activations stay in the processor's cache.
  let pieceTokens: Int

  /// Activations of so many tokens of a small encoder's layer fit in a processor's caches.
  public static let defaultPieceTokens = 1024

  public init(
    _ student: any Student, settings: LossSettings, dropoutRate: Float, precision: DType, pieceTokens: Int,
    on backend: any TrainingBackend
  ) {
    self.student = student
    self.settings = settings
    self.dropoutRate = dropoutRate
    self.precision = precision
    self.pieceTokens = pieceTokens
    self.backend = backend
  }

  /// The loss of one optimiser's batch and its terms before their weights.
  public struct Loss: Sendable, Hashable {
    public var value = 0.0
    public var parts: [LossTerm: Double] = [:]
    public var tokens = 0
  }

  /// Adds the gradients of a batch's loss to those of the parameters.
  ///
  /// - Parameter key: for dropout, drawn for the step.
  /// - Throws: what the backend throws.
  public func step(_ batch: [TrainingRow], key: UInt64) throws -> Loss {
    let weights = BatchWeights(
      batch, aspects: student.shape.aspects.count, settings: settings, isJudged: student.isJudged)
    var loss = Loss()
    for (part, places) in pieces(batch).enumerated() {
      let rows = places.map { batch[$0] }
      let tape = Tape(backend, precision: precision)
      let pass = try student.pass(
        rows, DropoutSites(rate: dropoutRate, key: key, part: part), on: tape)
      var seeds: [(Variable, Tensor)] = []
      for (term, result) in try losses(pass, rows, places, weights, on: tape) {
        let sum = try backend.read(result.losses).reduce(0.0) { $0 + Double($1) }
        loss.value += sum
        loss.parts[term, default: 0] += sum / settings.weight(term)
        seeds.append(result.seed)
      }
      try tape.backward(seeds.map { (result: $0.0, gradient: $0.1) })
      loss.tokens += rows.reduce(0) { $0 + $1.tokens }
    }
    return loss
  }

  /// Places of a batch's rows, in pieces of like lengths.
  private func pieces(_ rows: [TrainingRow]) -> [[Int]] {
    let sorted = rows.indices.sorted { (rows[$0].tokens, $0) < (rows[$1].tokens, $1) }
    var pieces: [[Int]] = []
    var tokens = Int.max
    for place in sorted {
      if tokens.addingReportingOverflow(rows[place].tokens).overflow
        || tokens + rows[place].tokens > pieceTokens
      {
        pieces.append([])
        tokens = 0
      }
      pieces[pieces.count - 1].append(place)
      tokens += rows[place].tokens
    }
    return pieces
  }

  private typealias TermLoss = (losses: Tensor, seed: (Variable, Tensor))

  private func losses(
    _ pass: StudentPass, _ rows: [TrainingRow], _ places: [Int], _ weights: BatchWeights, on tape: Tape
  ) throws -> [(LossTerm, TermLoss)] {
    var result: [(LossTerm, TermLoss)] = []
    func upload(_ values: [[Double]]) throws -> Tensor {
      try backend.upload(
        values.flatMap { $0.map(Float.init) }, shape: [values.count, values.first?.count ?? 0])
    }
    func vector(_ values: [Double]) throws -> Tensor {
      try backend.upload(values.map(Float.init), shape: [values.count])
    }
    let hard = places.map { weights.hard[$0] }
    if settings.counts(.hard), hard.contains(where: { $0 > 0 }) {
      let targets = rows.map { row in pass.order.map { $0 == row.label ? 1.0 : 0 } }
      result.append(
        (.hard, try tape.softmaxDivergence(pass.labels, targets: upload(targets), weights: vector(hard))))
    }
    let score = places.map { weights.score[$0] }
    if settings.counts(.score), score.contains(where: { $0 > 0 }) {
      let targets = rows.map { row in
        let soft = row.teacher.map {
          BatchWeights.softened($0.probabilities, temperature: settings.temperature)
        }
        return pass.order.map { soft?[$0] ?? 0 }
      }
      result.append(
        (
          .score,
          try tape.softmaxDivergence(
            pass.labels, targets: upload(targets), weights: vector(score),
            temperature: Float(settings.temperature))
        ))
    }
    let reasoning = places.map { weights.reasoning[$0] }
    if settings.counts(.reasoning), reasoning.contains(where: { $0.contains { $0 > 0 } }) {
      result.append((.reasoning, try reasoningLoss(pass, rows, reasoning, on: tape, upload, vector)))
    }
    return result
  }

  private func reasoningLoss(
    _ pass: StudentPass, _ rows: [TrainingRow], _ weights: [[Double]], on tape: Tape,
    _ upload: ([[Double]]) throws -> Tensor, _ vector: ([Double]) throws -> Tensor
  ) throws -> TermLoss {
    let verdicts = rows.map { row in
      row.teacher?.verdicts ?? [Verdict?](repeating: nil, count: student.shape.aspects.count)
    }
    switch pass.aspects {
    case .verdicts(let logits):
      let targets = verdicts.flatMap { row in
        row.map { verdict in Verdict.allCases.map { $0 == verdict ? 1.0 : 0 } }
      }
      return try tape.softmaxDivergence(
        logits, targets: upload(targets), weights: vector(weights.flatMap(\.self)))
    case .matches(let logits):
      let targets = verdicts.map { row in row.map { $0 == .match ? 1.0 : 0 } }
      return try tape.sigmoidCrossEntropy(logits, targets: upload(targets), weights: upload(weights))
    }
  }

  /// What the student says of a pair.
  public struct Prediction: Sendable {
    /// In label-set order.
    public let probabilities: [Double]
    /// One an aspect; a representation student has no "unspecified".
    public let verdicts: [Verdict]
    public let cosine: Double?
  }

  /// Predictions of the present weights, without dropout, in the order of the rows.
  ///
  /// - Throws: what the backend throws.
  public func predict(_ rows: [TrainingRow], progress: (Int) -> Void = { _ in }) throws -> [Prediction] {
    var predictions = [Prediction?](repeating: nil, count: rows.count)
    var done = 0
    for places in pieces(rows) {
      let tape = Tape(backend, precision: precision, isRecording: false)
      let pass = try student.pass(places.map { rows[$0] }, DropoutSites(rate: 0), on: tape)
      let labels = try backend.read(backend.softmax(pass.labels.value))
      let cosines = try pass.cosine.map { try backend.read($0.value) }
      let verdicts = try verdicts(pass, rows: places.count)
      let classes = pass.order.count
      for (row, place) in places.enumerated() {
        var probabilities = [Double](repeating: 0, count: classes)
        for (column, label) in pass.order.enumerated() {
          probabilities[label] = Double(labels[row * classes + column])
        }
        predictions[place] = Prediction(
          probabilities: probabilities, verdicts: verdicts[row], cosine: cosines.map { Double($0[row]) })
      }
      done += places.count
      progress(done)
    }
    return predictions.compactMap { $0 }
  }

  private func verdicts(_ pass: StudentPass, rows: Int) throws -> [[Verdict]] {
    let aspects = student.shape.aspects.count
    switch pass.aspects {
    case .verdicts(let logits):
      let values = try backend.read(logits.value)
      let all = Verdict.allCases
      return (0..<rows).map { row in
        (0..<aspects).map { aspect in
          let start = (row * max(1, aspects) + aspect) * all.count
          return all[all.indices.max { values[start + $0] < values[start + $1] } ?? 0]
        }
      }
    case .matches(let logits):
      let values = try backend.read(logits.value)
      return (0..<rows).map { row in
        (0..<aspects).map { values[row * max(1, aspects) + $0] >= 0 ? .match : .mismatch }
      }
    }
  }
}
