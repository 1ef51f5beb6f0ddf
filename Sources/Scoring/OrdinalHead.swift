import Basics
import Foundation
import ModelFormats

/// The head of a two-tower student: label probabilities from a cosine by the cumulative link model of
/// docs/method.md, "Students", in Float64.
struct OrdinalHead: Sendable, Hashable {
  private let slope: Double
  private let thresholds: [Double]
  /// For each rank, worst first, the place of its label.
  private let order: [Int]

  /// Reads the tensor `ordinal` of a student's extra heads.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` where the file is damaged, or the tensor is missing, of another
  ///   shape, or not finite.
  init(folder: String, _ description: StudentDescription) throws {
    let path = folder + "/" + StudentDescription.headsFileName
    let file = try SafetensorsFile(path: path)
    let name = "ordinal"
    func malformed(_ message: String) -> RetortError {
      RetortError(
        .malformedFile, message, file: path, field: name,
        remedy: "Give a folder that 'retort distill --student representation' has written, whole.")
    }
    guard let tensor = file.tensors[name] else { throw malformed("the tensor is missing") }
    guard tensor.dtype == .f32, tensor.shape.rank == 1, tensor.shape[0] == description.labels.count else {
      throw malformed("shape \(tensor.shape) for \(description.labels.count) labels")
    }
    let values = withExtendedLifetime(file) {
      file.bytes(of: tensor).withMemoryRebound(to: UInt32.self) { words in
        words.map { Double(Float(bitPattern: UInt32(littleEndian: $0))) }
      }
    }
    guard let head = OrdinalHead(parameters: values, order: description.worstFirst) else {
      throw malformed("the numbers are not finite")
    }
    self = head
  }

  /// - Parameter parameters: `[ln α, θ₀, ln(θ₁ − θ₀), …]`, as many as labels.
  init?(parameters: [Double], order: [Int]) {
    guard parameters.count == order.count, parameters.count >= 2 else { return nil }
    slope = exp(parameters[0])
    var thresholds = [parameters[1]]
    for gap in parameters.dropFirst(2) { thresholds.append(thresholds[thresholds.count - 1] + exp(gap)) }
    guard slope.isFinite, thresholds.allSatisfy(\.isFinite) else { return nil }
    self.thresholds = thresholds
    self.order = order
  }

  /// Probabilities of the labels, in the label set's order.
  func probabilities(cosine: Double) -> [Double] {
    var result = [Double](repeating: 0, count: order.count)
    for (rank, place) in order.enumerated() {
      let above = rank < thresholds.count ? slope * (cosine - thresholds[rank]) : nil
      let below = rank > 0 ? slope * (cosine - thresholds[rank - 1]) : nil
      var logarithm = 0.0
      if let below { logarithm += Self.logSigmoid(below) }
      if let above { logarithm += Self.logSigmoid(-above) }
      // Both bounds: σ(below) − σ(above) without cancellation; their distance is that of the thresholds.
      if rank > 0, rank < thresholds.count {
        logarithm += log(-expm1(-slope * (thresholds[rank] - thresholds[rank - 1])))
      }
      result[place] = exp(logarithm)
    }
    return result
  }

  private static func logSigmoid(_ x: Double) -> Double { min(x, 0) - log1p(exp(-abs(x))) }
}
