import Basics
import Tensors

/// What is trained: parameters, rows, the loss of a batch of them, and how good the parameters are.
///
/// The trainer owns order, optimiser, log and checkpoints; the task knows the model and the data. For a run to be
/// resumed bit by bit, ``step(rows:_:)`` must depend on nothing but the parameters, the rows and the context.
public protocol TrainingTask: AnyObject {
  /// What the optimiser updates, names unique. Leave out what no counted loss reaches: all of these are decayed.
  var parameters: [Parameter] { get }
  var rowCount: Int { get }
  /// The number in ``evaluate()``'s result that names the best weights and stops early; nil where nothing is
  /// evaluated.
  var watchedMetric: WatchedMetric? { get }

  /// Adds the gradients of one batch's loss to those of the parameters.
  ///
  /// A batch may be computed in pieces, as long as their gradients sum to the batch's.
  /// - Parameter rows: places of rows, below ``rowCount``.
  func step(rows: [Int], _ context: StepContext) throws -> StepLoss

  /// Metrics of the present parameters on held-out data; one that is not defined may be NaN.
  func evaluate() throws -> [String: Double]
}

/// A metric that tells which weights are best.
public struct WatchedMetric: Sendable, Hashable {
  public let name: String
  public let higherIsBetter: Bool

  public init(_ name: String, higherIsBetter: Bool = true) {
    self.name = name
    self.higherIsBetter = higherIsBetter
  }

  func isBetter(_ value: Double, than other: Double?) -> Bool {
    guard value.isFinite, let other else { return value.isFinite }
    return higherIsBetter ? value > other : value < other
  }
}

/// Which step is being taken.
public struct StepContext: Sendable, Hashable {
  /// Counted from 1.
  public let step: Int
  /// Counted from 1.
  public let epoch: Int
  public let seed: UInt64

  public init(step: Int, epoch: Int, seed: UInt64) {
    self.step = step
    self.epoch = epoch
    self.seed = seed
  }

  /// A key of this step's own for dropout; the place in the model, and the piece of the batch, go into its `stream`.
  public var dropoutKey: UInt64 {
    let words = Philox(key: seed).words(0, RandomUse.dropout.counter(step))
    return UInt64(words[0]) << 32 | UInt64(words[1])
  }
}

/// The loss of one batch.
public struct StepLoss: Sendable, Hashable {
  public let value: Double
  /// The terms that the loss is made of, by name, as the log shows them.
  public let parts: [String: Double]
  /// Tokens that the model read.
  public let tokens: Int

  public init(_ value: Double, parts: [String: Double] = [:], tokens: Int) {
    self.value = value
    self.parts = parts
    self.tokens = tokens
  }
}
