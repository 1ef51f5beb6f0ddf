import Basics
import Tensors

/// Inputs of trials: the same numbers on every backend.
enum TrialInputs {
  /// `count` numbers from −1 to 1 that repeat only after 2³² of them.
  static func floats(_ count: Int, seed: UInt32) -> [Float] {
    (0..<count).map { index in
      var x = UInt32(truncatingIfNeeded: index) &+ seed &* 0x9E37_79B9
      x = (x ^ (x >> 16)) &* 0x85EB_CA6B
      x = (x ^ (x >> 13)) &* 0xC2B2_AE35
      x ^= x >> 16
      return Float(Int32(bitPattern: x)) / Float(Int32.max)
    }
  }

  static func matrix(_ backend: OpenCLBackend, _ rows: Int, _ width: Int, seed: UInt32) throws -> Tensor {
    try backend.upload(floats(rows * width, seed: seed), shape: [rows, width])
  }

  /// A weight `[outputs, inputs]` stored in Float32 and kept as `compute` says.
  static func weight(
    _ backend: OpenCLBackend, inputs: Int, outputs: Int, compute: ComputeMode, seed: UInt32
  ) throws -> any MatrixWeight {
    let memory = Memory(floats(inputs * outputs, seed: seed))
    let source = WeightSource(
      name: "trial", dtype: .f32, shape: [outputs, inputs], file: "memory", bytes: { memory.bytes })
    return try backend.loadMatrix([source], compute: compute)
  }

  /// A weight `[outputs, inputs]` drawn on the device in `dtype` and kept as it is.
  static func stored(
    _ backend: OpenCLBackend, inputs: Int, outputs: Int, _ dtype: DType, seed: UInt64
  ) throws -> any MatrixWeight {
    let numbers = RandomWeights(seed: seed, deviation: 1 / Float(inputs).squareRoot())
    return try backend.loadMatrix(
      [try .random("trial", [outputs, inputs], dtype, numbers)], compute: .lean)
  }

  /// Whether a trial has to be small: CPU devices take long over kernels that are meant for GPUs.
  static func areSmall(_ backend: OpenCLBackend) -> Bool { backend.context.device.kind == .cpu }

  /// For operands rounded to bfloat16: sums of many such terms lie within half of it.
  static let warpTolerance: Float = 0.02

  private final class Memory: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    private let memory: UnsafeMutableBufferPointer<Float>

    init(_ values: [Float]) {
      memory = .allocate(capacity: values.count)
      _ = memory.initialize(from: values)
      bytes = UnsafeRawBufferPointer(memory)
    }

    deinit { memory.deallocate() }
  }
}
