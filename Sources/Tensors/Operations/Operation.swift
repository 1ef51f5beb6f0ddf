import Basics

/// One operation on given extents: what it returns, how many floating-point operations it takes and how many
/// bytes it must move at the least.
public protocol Operation: Sendable {
  /// The operation's one name everywhere: `rms_norm` in `rms_norm.opencl` and in profiles.
  static var name: String { get }
  var outputShape: Shape { get }
  /// Floating-point operations; a multiply-add counts two.
  var flops: Int { get }
  /// Bytes read and written once each.
  var bytes: Int { get }
}

extension Operation {
  /// Throws `shapeMismatch` naming the operation unless `condition` holds.
  static func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    guard condition else {
      throw RetortError(
        .shapeMismatch, "\(name): \(message())",
        remedy: "Check that the model's tensors have the shapes its configuration names.")
    }
  }
}
