import Basics
import CPUBackend
import Foundation
import Tensors

@testable import Training

/// Makes an empty folder, runs `body` on its path, and removes it.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url.path)
}

/// The `RetortError` that `body` throws, or nil where it throws none.
func thrownError(_ body: () throws -> Void) -> RetortError? {
  do {
    try body()
    return nil
  } catch {
    return error as? RetortError
  }
}

/// What ends a run in the middle, in place of a signal.
struct Killed: Error {}

/// A regression of points in three classes, with a hidden layer and dropout: small, and every step moves every bit.
final class ToyTask: TrainingTask {
  /// Where a step, counted from 1, goes wrong.
  enum Fault: Equatable {
    case before(Int)
    /// Gradients are there, the update is not.
    case after(Int)
    case evaluation(Int)
    case notANumber(Int)
    case infiniteGradient(Int)
  }

  static let (inputs, hidden, classes) = (3, 5, 3)
  let backend: any TrainingBackend
  let parameters: [Parameter]
  let rowCount = 10
  let watchedMetric: WatchedMetric? = WatchedMetric("loss", higherIsBetter: false)
  var fault: Fault?
  private(set) var rowsSeen: [[Int]] = []
  private let points: [[Float]]
  private let targets: [[Float]]
  private var lastStep = 0

  init(fault: Fault? = nil, hidden: Int = ToyTask.hidden) throws {
    let backend = try CPUBackend(threads: 2)
    self.backend = backend
    self.fault = fault
    func random(_ count: Int, _ stream: UInt64) -> [Float] {
      (0..<count).map { Float(Philox(key: 7).uniform(UInt64($0), stream) * 2 - 1) }
    }
    func parameter(_ name: String, _ shape: Shape, _ stream: UInt64, rateFactor: Float = 1) throws
      -> Parameter
    {
      try Parameter(
        name, backend.upload(random(shape.count, stream), shape: shape), decays: shape.rank == 2,
        rateFactor: rateFactor, on: backend)
    }
    parameters = [
      try parameter("first.weight", [hidden, ToyTask.inputs], 1),
      try parameter("first.bias", [hidden], 2),
      try parameter("second.weight", [ToyTask.classes, hidden], 3),
      try parameter("second.bias", [ToyTask.classes], 4, rateFactor: 3),
    ]
    points = (0..<rowCount).map { random(ToyTask.inputs, 10 + UInt64($0)) }
    targets = points.map { point in
      let place = point[0] > 0.2 ? 0 : point[1] > 0 ? 1 : 2
      return (0..<ToyTask.classes).map { $0 == place ? 1 : 0 }
    }
  }

  /// The losses of rows, and what to go back from.
  private func forward(_ tape: Tape, _ rows: [Int], dropoutKey: UInt64?) throws -> (
    losses: Tensor, seed: (Variable, Tensor)
  ) {
    let variables = parameters.map(tape.parameter)
    let x = tape.constant(
      try backend.upload(rows.flatMap { points[$0] }, shape: [rows.count, ToyTask.inputs]))
    var h = try tape.gelu(tape.linear(x, variables[0], bias: variables[1]), .exact)
    if let dropoutKey { h = try tape.dropout(h, rate: 0.2, key: dropoutKey, stream: 0) }
    return try tape.softmaxDivergence(
      tape.linear(h, variables[2], bias: variables[3]),
      targets: backend.upload(rows.flatMap { targets[$0] }, shape: [rows.count, ToyTask.classes]),
      weights: backend.upload(rows.map { _ in 1 / Float(rows.count) }, shape: [rows.count]))
  }

  func step(rows: [Int], _ context: StepContext) throws -> StepLoss {
    if fault == .before(context.step) { throw Killed() }
    rowsSeen.append(rows)
    lastStep = context.step
    let tape = Tape(backend)
    let (losses, seed) = try forward(tape, rows, dropoutKey: context.dropoutKey)
    try tape.backward([seed])
    if fault == .after(context.step) { throw Killed() }
    if fault == .infiniteGradient(context.step) {
      let gradient = parameters[2].gradient
      try backend.write([Float](repeating: .infinity, count: gradient.shape.count), to: gradient)
    }
    let loss = fault == .notANumber(context.step) ? .nan : try sum(losses)
    return StepLoss(loss, parts: ["hard": loss], tokens: rows.count * 2)
  }

  func evaluate() throws -> [String: Double] {
    if fault == .evaluation(lastStep) { throw Killed() }
    return ["loss": try sum(forward(Tape(backend), Array(0..<rowCount), dropoutKey: nil).losses), "rows": 10]
  }

  private func sum(_ losses: Tensor) throws -> Double {
    try backend.read(losses).reduce(0) { $0 + Double($1) }
  }

  /// All parameters, bit by bit.
  func bits() throws -> [[UInt32]] { try parameters.map { try backend.read($0.value).map(\.bitPattern) } }
}

/// Twelve steps, an evaluation after every second.
func toyOptions(_ folder: String) -> TrainingOptions {
  var options = TrainingOptions(folder: folder)
  options.epochs = 4
  options.batchRows = 4
  options.seed = 11
  options.optimizer.learningRate = 0.05
  options.evaluation = .every(steps: 2)
  options.checkpointSeconds = nil
  options.settings = ["data": "toy"]
  return options
}

/// What a run leaves behind, to be compared bit by bit.
struct Remains: Equatable, Sendable {
  let bits: [[UInt32]]
  let log: String
  let result: TrainingResult

  init(
    _ task: ToyTask, _ options: TrainingOptions, shouldStop: () -> Bool = { false },
    warn: (String) -> Void = { _ in }
  ) throws {
    result = try Trainer.run(task, options, on: task.backend, shouldStop: shouldStop, warn: warn)
    bits = try task.bits()
    log = try text(options.folder + "/training.jsonl")
  }

  /// Of a run that nothing disturbs.
  static func undisturbed() throws -> Remains {
    try withFolder { try Remains(ToyTask(), toyOptions($0)) }
  }
}

func text(_ path: String) throws -> String {
  String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
}

/// The checkpoints in a folder, and whatever is hidden there.
func checkpoints(_ folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).filter { !$0.hasSuffix(".jsonl") }.sorted()
}
