import Basics
import ModelFormats
import Tensors

/// What a decoder's weights take in each mode, reckoned from the file's description before anything is loaded.
///
/// Nothing is added for padding, tables that a backend keeps beside the matrix they are tied to, the cache, and
/// activations; so what is refused cannot fit, and what is let through may still lack some.
public struct ModelMemory: Sendable, Equatable {
  public let parameters: Int
  /// Bytes of the tensors as stored.
  public let storedBytes: Int
  /// The same with at most two bytes a weight: a backend may narrow in mode `lean` what the file has in Float32.
  public let narrowedBytes: Int

  public init(parameters: Int, storedBytes: Int, narrowedBytes: Int? = nil) {
    self.parameters = parameters
    self.storedBytes = storedBytes
    self.narrowedBytes = narrowedBytes ?? min(storedBytes, parameters.multipliedReportingOverflow(by: 2).0)
  }

  public init(_ source: ModelSource) {
    self.init(
      parameters: source.parameterCount, storedBytes: source.tensors.reduce(0) { $0 + $1.range.count },
      narrowedBytes: source.tensors.reduce(0) { $0 + min($1.range.count, 2 * ($1.shape.checkedCount ?? 0)) })
  }

  /// Bytes of all weights; saturates. `.auto` counts as `.lean`, which it falls back to.
  public func weightBytes(_ compute: ComputeMode) -> Int {
    let (factor, divisor) =
      switch compute {
      case .auto, .lean: (0, 1)
      case .f32: (4, 1)
      case .bf16: (2, 1)
      // A byte a weight and a scale in Float32 for every 64.
      case .int8: (17, 16)
      }
    guard factor > 0 else { return storedBytes }
    let (bytes, overflow) = parameters.multipliedReportingOverflow(by: factor)
    return overflow ? Int.max : bytes / divisor
  }

  /// What a mode cannot do without.
  private func floor(_ compute: ComputeMode) -> Int {
    compute == .auto || compute == .lean ? narrowedBytes : weightBytes(compute)
  }

  /// Types that community files have, with their bits a weight, from the largest.
  private static let types: [(name: String, bits: Double)] = [
    ("Q8_0", 8.5), ("Q6_K", 6.5625), ("Q5_K", 5.5), ("Q4_K", 4.5),
  ]

  /// - Throws: `outOfMemory` where `freeBytes` cannot hold the weights in mode `compute`: by how much, and which mode
  ///   or type of file would fit.
  public func requireFit(_ compute: ComputeMode, freeBytes: Int, device: String, file: String) throws {
    let needed = floor(compute)
    guard needed > freeBytes else { return }
    let modes: [ComputeMode] = [.bf16, .lean, .int8]
    let remedy: String
    if let mode = modes.first(where: { floor($0) <= freeBytes }) {
      remedy = "Use --compute \(mode.rawValue): \(Self.text(floor(mode)))."
    } else if let type = Self.types.first(where: { bytes(bits: $0.bits) <= Double(freeBytes) }) {
      remedy =
        "Use the model in \(type.name) (\(Self.text(Int(bytes(bits: type.bits))))) with --compute lean, or a device "
        + "with more memory."
    } else {
      remedy =
        "Use a smaller model or a device with more memory: at 4.5 bits a weight it does not fit either."
    }
    throw RetortError(
      .outOfMemory,
      "the weights take \(Self.text(needed)) in mode \(compute.rawValue) and \(Self.text(freeBytes)) are free on "
        + "\(device): \(Self.text(needed - freeBytes)) too much",
      file: file, field: "compute", remedy: remedy)
  }

  private func bytes(bits: Double) -> Double { Double(parameters) * bits / 8 }

  /// Gigabytes, or megabytes below one.
  static func text(_ bytes: Int) -> String {
    let (value, unit) = bytes >= 1_000_000_000 ? (Double(bytes) / 1e9, "GB") : (Double(bytes) / 1e6, "MB")
    let tenths = Int((value * 10).rounded(.up))
    return "\(tenths / 10).\(tenths % 10) \(unit)"
  }
}
