import Basics
import Foundation
import OpenCLRuntime

/// Launch parameters for the devices that a table names, as in `Kernels/tuned/*.json` and in the user's cache.
public struct TuningTable: Sendable, Equatable, Codable {
  static let currentFormat = "retort-tuned-1"

  /// What a device must be; what is nil may be anything.
  public struct Scope: Sendable, Equatable, Codable {
    public var vendor: String?
    public var architecture: String?
    public var device: String?

    public init(vendor: String? = nil, architecture: String? = nil, device: String? = nil) {
      self.vendor = vendor
      self.architecture = architecture
      self.device = device
    }

    func holds(_ identity: DeviceIdentity) -> Bool {
      (vendor ?? identity.vendor.rawValue) == identity.vendor.rawValue
        && (architecture ?? identity.architecture) == identity.architecture
        && (device ?? identity.device) == identity.device
    }

    /// Higher wins: default, vendor, architecture, device.
    var rank: Int { device != nil ? 3 : architecture != nil ? 2 : vendor != nil ? 1 : 0 }
  }

  /// Parameters of a kernel for a class of shapes, `*` for all of its classes.
  public struct Entry: Sendable, Equatable, Codable {
    public var kernel: String
    public var shapeClass: String
    public var parameters: [String: Int]
    /// Microseconds with the shipped parameters and with these, as measured; for people.
    public var defaultMicroseconds: Double?
    public var microseconds: Double?

    enum CodingKeys: String, CodingKey {
      case kernel
      case shapeClass = "class"
      case parameters
      case defaultMicroseconds = "default_microseconds"
      case microseconds
    }

    public init(
      kernel: String, shapeClass: String, parameters: [String: Int], defaultMicroseconds: Double? = nil,
      microseconds: Double? = nil
    ) {
      self.kernel = kernel
      self.shapeClass = shapeClass
      self.parameters = parameters
      self.defaultMicroseconds = defaultMicroseconds
      self.microseconds = microseconds
    }

    public init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      kernel = try container.decode(String.self, forKey: .kernel)
      shapeClass = try container.decode(String.self, forKey: .shapeClass)
      parameters = try container.decode([String: WholeNumber].self, forKey: .parameters).mapValues(\.value)
      defaultMicroseconds = try container.decodeIfPresent(Double.self, forKey: .defaultMicroseconds)
      microseconds = try container.decodeIfPresent(Double.self, forKey: .microseconds)
    }
  }

  /// Foundation says that 8.5 is no Int, but not where it stands.
  private struct WholeNumber: Decodable {
    let value: Int

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      let number = try container.decode(Double.self)
      guard let value = Int(exactly: number) else {
        throw DecodingError.dataCorruptedError(
          in: container, debugDescription: "\(number) is not a whole number")
      }
      self.value = value
    }
  }

  public var format: String
  public var appliesTo: Scope
  public var driver: String?
  /// ISO 8601.
  public var measuredAt: String?
  public var entries: [Entry]

  enum CodingKeys: String, CodingKey {
    case format
    case appliesTo = "applies_to"
    case driver
    case measuredAt = "measured_at"
    case entries
  }

  public init(appliesTo: Scope, driver: String? = nil, measuredAt: String? = nil, entries: [Entry] = []) {
    format = Self.currentFormat
    self.appliesTo = appliesTo
    self.driver = driver
    self.measuredAt = measuredAt
    self.entries = entries
  }

  /// Reads and checks a table.
  ///
  /// Entries of kernels that this version does not have are kept and never used.
  ///
  /// - Throws: `malformedFile` naming the file and the field, for broken JSON, unknown classes and parameters, and
  ///   values out of their ranges.
  public init(json: Data, file: String, kernels: [TunableKernel] = TunableKernel.all) throws {
    do {
      self = try JSONDecoder().decode(TuningTable.self, from: json)
    } catch let error as DecodingError {
      throw Self.failure(error, file)
    }
    guard format == Self.currentFormat else {
      throw Self.failure("the format is \"\(format)\", not \"\(Self.currentFormat)\"", file, "format")
    }
    try check(kernels, file: file)
  }

  /// Judges the entries of these kernels.
  ///
  /// - Throws: `malformedFile` naming the field, for unknown classes and parameters, and values out of their ranges.
  func check(_ kernels: [TunableKernel], file: String) throws {
    let known = Dictionary(kernels.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    for (index, entry) in entries.enumerated() {
      guard let kernel = known[entry.kernel] else { continue }
      let place = "entries[\(index)]"
      guard entry.shapeClass == "*" || kernel.classes.contains(entry.shapeClass) else {
        throw Self.failure(
          "\(kernel.name) has no class \"\(entry.shapeClass)\", only \(kernel.classes.joined(separator: ", "))",
          file, "\(place).class")
      }
      for (name, value) in entry.parameters.sorted(by: { $0.key < $1.key }) {
        guard let parameter = kernel.parameters.first(where: { $0.name == name }) else {
          throw Self.failure("\(kernel.name) has no parameter \(name)", file, "\(place).parameters.\(name)")
        }
        guard parameter.values.contains(value) else {
          throw Self.failure(
            "\(value) is not one of \(parameter.values.map(String.init).joined(separator: ", "))", file,
            "\(place).parameters.\(name)")
        }
      }
    }
  }

  /// Indented JSON, keys sorted.
  public func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(self) + Data("\n".utf8)
  }

  /// Writes the table under a temporary name and renames it, so that a reader sees this table or the one before.
  ///
  /// - Throws: `fileUnavailable` or `writeFailed`.
  public func write(to path: String) throws {
    let folder = (path as NSString).deletingLastPathComponent
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw RetortError(
        .fileUnavailable, "cannot create the folder: \(error.localizedDescription)", file: folder,
        remedy: "Set XDG_CACHE_HOME to a folder that can be written.")
    }
    let file = try AtomicFile(path: path)
    try file.write(String(decoding: json(), as: UTF8.self))
    try file.commit()
  }

  private static func failure(_ error: DecodingError, _ file: String) -> RetortError {
    let (context, missing): (DecodingError.Context, String?) =
      switch error {
      case .keyNotFound(let key, let context): (context, key.stringValue)
      case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
        (context, nil)
      @unknown default: (DecodingError.Context(codingPath: [], debugDescription: "\(error)"), nil)
      }
    var field = ""
    for key in context.codingPath {
      field += key.intValue.map { "[\($0)]" } ?? (field.isEmpty ? "" : ".") + key.stringValue
    }
    if let missing { field += (field.isEmpty ? "" : ".") + missing }
    return failure(
      missing == nil ? context.debugDescription : "the field is missing", file, field.isEmpty ? nil : field)
  }

  static func failure(_ message: String, _ file: String, _ field: String?) -> RetortError {
    RetortError(
      .malformedFile, message, file: file, field: field,
      remedy: "Delete the file, or write it anew with 'retort tune'.")
  }
}
