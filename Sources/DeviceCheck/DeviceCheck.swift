import Basics
import Tensors

/// Holds a device's operations against another backend's: what a new driver must pass before its results count.
///
/// Every case runs the same inputs on both and compares; a few more demand of the device alone that a row has the same
/// bits in every batch. Nothing is timed.
public struct DeviceCheck {
  /// What a case came to.
  public struct Finding: Sendable {
    public let operation: String
    public let detail: String
    /// The largest difference as a share of what is allowed; nil where the case failed before there was one.
    public let worst: Double?
    /// Why the case failed; nil where it passed.
    public let problem: String?
  }

  let device: any TrainingBackend
  let oracle: any TrainingBackend

  public init(device: any TrainingBackend, oracle: any TrainingBackend) {
    self.device = device
    self.oracle = oracle
  }

  /// The operations that are checked, in order.
  public static var operations: [String] {
    var seen: Set<String> = []
    return cases.map(\.operation).filter { seen.insert($0).inserted }
  }

  static var cases: [CheckCase] {
    products + attentions + rows + lookUps + choices + encoders + gradients + training
  }

  /// Runs all cases, or those of one operation; goes on after a failure.
  public func run(only operation: String? = nil, report: (Finding) -> Void = { _ in }) -> [Finding] {
    DeviceCheck.cases.filter { operation == nil || $0.operation == operation }.map { item in
      let finding = check(item)
      report(finding)
      return finding
    }
  }

  func check(_ item: CheckCase) -> Finding {
    do {
      let actual = try item.run(device)
      let expected = try item.again?(device) ?? item.run(oracle)
      let (worst, problem) = DeviceCheck.compare(actual, expected, item.tolerance)
      return Finding(operation: item.operation, detail: item.detail, worst: worst, problem: problem)
    } catch {
      return Finding(operation: item.operation, detail: item.detail, worst: nil, problem: "\(error)")
    }
  }

  /// The largest difference by what is allowed, and a sentence where that is too much.
  ///
  /// A number may lie `tolerance` times its row's largest number away; with a tolerance of 0 bits must agree.
  static func compare(_ actual: [CheckedRows], _ expected: [CheckedRows], _ tolerance: Double) -> (
    worst: Double?, problem: String?
  ) {
    guard actual.count == expected.count,
      zip(actual, expected).allSatisfy({ $0.values.count == $1.values.count })
    else { return (nil, "the results differ in size") }
    var worst = 0.0
    for (index, (a, b)) in zip(actual, expected).enumerated() {
      let allowed = a.isExact ? 0 : tolerance
      for start in stride(from: 0, to: b.values.count, by: max(1, b.width)) {
        let row = start..<min(start + max(1, b.width), b.values.count)
        let size = row.reduce(0.0) { max($0, Double(abs(b.values[$1]))) }
        for place in row where a.values[place].bitPattern != b.values[place].bitPattern {
          let difference = abs(Double(a.values[place]) - Double(b.values[place]))
          // Zeros may differ in their sign.
          if difference == 0 { continue }
          let share = difference / (allowed * max(size, .leastNormalMagnitude))
          guard share <= 1 else {
            return (
              share.isFinite ? share : nil,
              "result \(index), row \(start / max(1, b.width)), column \(place - start): \(a.values[place]), "
                + "expected \(b.values[place])"
            )
          }
          worst = max(worst, share)
        }
      }
    }
    return (worst, nil)
  }
}

/// One comparison.
struct CheckCase: Sendable {
  let operation: String
  let detail: String
  let tolerance: Double
  /// Where set, what the device must give the same bits in: the oracle then has no part.
  var again: (@Sendable (any TrainingBackend) throws -> [CheckedRows])?
  let run: @Sendable (any TrainingBackend) throws -> [CheckedRows]

  /// Sums in Float32 in any order, and exponentials good to some units in the last place.
  static let fine = 1e-4
  /// Operands rounded to bfloat16, or activations to 8 bits.
  static let coarse = 0x1p-6
}

/// A result as rows of `width` numbers.
struct CheckedRows: Sendable {
  let values: [Float]
  let width: Int
  /// Whole numbers that have no tolerance.
  var isExact = false
}

extension TrainingBackend {
  func checked(_ tensor: Tensor) throws -> CheckedRows {
    CheckedRows(values: try read(tensor), width: tensor.width)
  }

  /// A tensor of numbers between −1 and 1 that the seed decides.
  func noise(_ seed: UInt64, _ shape: Shape) throws -> Tensor {
    try upload(CheckNoise.floats(seed, shape.count), shape: shape)
  }

  func zeros(_ shape: Shape) throws -> Tensor {
    try upload([Float](repeating: 0, count: shape.count), shape: shape)
  }
}

/// Inputs by Philox.
enum CheckNoise {
  static func floats(_ seed: UInt64, _ count: Int) -> [Float] {
    let noise = Philox(key: seed)
    return [Float](unsafeUninitializedCapacity: count) { values, filled in
      for quad in 0..<((count + 3) / 4) {
        let words = noise.words(UInt64(quad))
        for place in (quad * 4)..<min(quad * 4 + 4, count) {
          values[place] = Float(Int32(words[place % 4] >> 8) - 8_388_608) / 8_388_608
        }
      }
      filled = count
    }
  }

  static func ids(_ seed: UInt64, _ count: Int, below limit: Int) -> [Int32] {
    let noise = Philox(key: seed)
    return (0..<count).map { Int32(Int(noise.words(UInt64($0))[0]) % limit) }
  }
}
