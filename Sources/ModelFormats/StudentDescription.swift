import Basics
import Foundation

/// The two kinds of student.
public enum StudentKind: String, Sendable, CaseIterable, Codable {
  /// A cross-encoder: query and item in one text.
  case interaction
  /// Two towers: a vector each, compared by their cosine.
  case representation
}

/// What `retort.json` says of a student beside what `config.json` says of its encoder.
public struct StudentDescription: Codable, Sendable, Hashable {
  public struct Grade: Codable, Sendable, Hashable {
    public let name: String
    public let gain: Double

    public init(name: String, gain: Double) {
      self.name = name
      self.gain = gain
    }
  }

  public static let fileName = "retort.json"
  public static let headsFileName = "retort_heads.safetensors"
  private static let mostLabels = 256

  public var format = 1
  public let student: StudentKind
  public let labels: [Grade]
  public let aspects: [String]
  /// Tokens that texts were cut to in training, special ones included.
  public let maximumLength: Int
  public let slotWidth: Int
  public let baseModel: String

  enum CodingKeys: String, CodingKey {
    case format, student, labels, aspects
    case maximumLength = "max_length"
    case slotWidth = "slot_width"
    case baseModel = "base_model"
  }

  public init(
    student: StudentKind, labels: [Grade], aspects: [String], maximumLength: Int, slotWidth: Int,
    baseModel: String
  ) {
    self.student = student
    self.labels = labels
    self.aspects = aspects
    self.maximumLength = maximumLength
    self.slotWidth = slotWidth
    self.baseModel = baseModel
  }

  /// Reads a student's folder.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` for JSON of another form or values out of range; `unsupported` for
  ///   a later format.
  public init(folder: String) throws {
    let path = folder + "/" + Self.fileName
    let file = try MappedFile(path: path)
    do {
      self = try JSONDecoder().decode(
        StudentDescription.self, from: withExtendedLifetime(file) { Data(file.bytes) })
    } catch {
      throw RetortError(
        .malformedFile, "not a student's description: \(error)", file: path,
        remedy: "Give a folder that 'retort distill' has written.")
    }
    guard format == 1 else {
      throw RetortError(
        .unsupported, "format \(format)", file: path, field: "format",
        remedy: "Use a later version of retort.")
    }
    try check(path)
  }

  /// Reads a folder's description, or gives nil where it has none.
  ///
  /// - Throws: as ``init(folder:)``, but for a file that is not there.
  public static func find(folder: String) throws -> StudentDescription? {
    guard FileManager.default.fileExists(atPath: folder + "/" + fileName) else { return nil }
    return try StudentDescription(folder: folder)
  }

  private func check(_ path: String) throws {
    let gains = labels.map(\.gain)
    guard (2...Self.mostLabels).contains(labels.count), gains.allSatisfy(\.isFinite),
      gains.first != gains.last, Set(labels.map(\.name)).count == labels.count
    else {
      throw GGUFFile.malformed(
        path, "labels", "not 2 to \(Self.mostLabels) labels from worst to best or back")
    }
    guard maximumLength > 0, maximumLength <= 1 << 20 else {
      throw GGUFFile.malformed(path, CodingKeys.maximumLength.rawValue, "\(maximumLength) is out of range")
    }
    guard slotWidth > 0, slotWidth <= 1 << 16 else {
      throw GGUFFile.malformed(path, CodingKeys.slotWidth.rawValue, "\(slotWidth) is out of range")
    }
  }

  /// Places of the labels from the worst to the best, as an ordinal head counts them.
  public var worstFirst: [Int] {
    let rises = (labels.last?.gain ?? 0) > (labels.first?.gain ?? 0)
    return rises ? Array(labels.indices) : labels.indices.reversed()
  }
}
