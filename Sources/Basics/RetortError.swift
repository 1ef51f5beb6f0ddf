/// The one error type that Retort throws: what went wrong, where, and what to do about it.
///
/// Every module throws this type, so a caller can switch over ``code`` and print ``description`` as it is.
public struct RetortError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A stable, machine-readable kind of failure.
  public enum Code: String, Sendable, CaseIterable {
    /// A file or folder does not exist or cannot be opened, read or written.
    case fileUnavailable = "file-unavailable"
    /// No space is left, or a write was short.
    case writeFailed = "write-failed"
    /// A model, tokenizer or data file breaks its format.
    case malformedFile = "malformed-file"
    /// The file is sound but asks for something that is not supported.
    case unsupported = "unsupported"
    /// An argument or option is out of its range.
    case invalidArgument = "invalid-argument"
    /// Shapes or data types do not fit an operation.
    case shapeMismatch = "shape-mismatch"
    /// A row of input data is malformed.
    case malformedRow = "malformed-row"
    /// The prompt does not fit the context.
    case contextOverflow = "context-overflow"
    /// Host or device memory is exhausted.
    case outOfMemory = "out-of-memory"
    /// No device fits the request.
    case noDevice = "no-device"
    /// A kernel failed to build.
    case kernelBuildFailed = "kernel-build-failed"
    /// A device or library call failed.
    case deviceFailure = "device-failure"
    /// A bulk job's ledger is in use, belongs to other input or settings, or lacks rows.
    case jobConflict = "job-conflict"
    /// Training met a number that is not finite.
    case diverged
  }

  public let code: Code
  public let message: String
  /// The file concerned, where there is one.
  public let file: String?
  /// The field, tensor, key or option concerned.
  public let field: String?
  /// A byte offset, line number or index, in words (for example `byte 128` or `line 7`).
  public let position: String?
  /// What the user can do about it, as a sentence.
  public let remedy: String

  public init(
    _ code: Code, _ message: String, file: String? = nil, field: String? = nil, position: String? = nil,
    remedy: String
  ) {
    self.code = code
    self.message = message
    self.file = file
    self.field = field
    self.position = position
    self.remedy = remedy
  }

  public var description: String {
    var place: [String] = []
    if let file { place.append(file) }
    if let field { place.append("field \(field)") }
    if let position { place.append(position) }
    let prefix = place.isEmpty ? "" : place.joined(separator: ", ") + ": "
    return "\(prefix)\(message) [\(code.rawValue)]\n  \(remedy)"
  }

  /// The same error with the file named, for code that parses bytes without knowing where they came from.
  public func naming(file: String) -> RetortError {
    RetortError(
      code, message, file: self.file ?? file, field: field, position: position, remedy: remedy)
  }
}
