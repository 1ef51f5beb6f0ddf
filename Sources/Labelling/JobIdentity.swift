import Basics
import Relevance

/// Everything that decides a job's results: where any of it differs, results of the two must not be mixed.
public struct JobIdentity: Sendable, Equatable {
  public let input: InputFingerprint
  public let promptHash: String
  /// The model's name, as records carry it.
  public let model: String
  /// A fingerprint of the model's files.
  public let modelFingerprint: String
  public let shard: JobShard?
  /// The settings that shape results, by the names users know them by.
  public let settings: [String: String]

  public init(
    input: InputFingerprint, promptHash: String, model: String, modelFingerprint: String,
    shard: JobShard? = nil, settings: [String: String] = [:]
  ) {
    self.input = input
    self.promptHash = promptHash
    self.model = model
    self.modelFingerprint = modelFingerprint
    self.shard = shard
    self.settings = settings
  }

  /// SHA-256 over all facts, in hexadecimal.
  public var hash: String {
    SHA256.hex(facts.sorted { $0.key < $1.key }.map { "\($0.key)\0\($0.value)" }.joined(separator: "\0"))
  }

  /// Name and value of each fact, as the ledger stores them.
  var facts: [String: String] {
    var facts = [
      "input bytes": String(input.bytes), "input sha256": input.sha256, "prompt": promptHash, "model": model,
      "model files": modelFingerprint, "shard": shard?.description ?? "1/1",
    ]
    for (name, value) in settings { facts["setting " + name] = value }
    return facts
  }

  /// What differs from a ledger's facts, for people: `max-tokens was 128, now 64`.
  func changes(since stored: [String: String]) -> [String] {
    let facts = facts
    var changes: [String] = []
    if facts["input sha256"] != stored["input sha256"] {
      changes.append(
        "the input's content has changed (it had \(stored["input bytes"] ?? "?") bytes, "
          + "now has \(input.bytes))")
    }
    for name in Set(facts.keys).union(stored.keys).sorted() where !name.hasPrefix("input ") {
      let (was, now) = (stored[name], facts[name])
      guard was != now else { continue }
      let shown = name.hasPrefix("setting ") ? String(name.dropFirst(8)) : name
      changes.append("\(shown) was \(JobIdentity.shown(was)), now \(JobIdentity.shown(now))")
    }
    return changes
  }

  /// Hashes and long values are cut; nothing is said to be unset.
  private static func shown(_ value: String?) -> String {
    guard let value else { return "unset" }
    return value.count > 48 ? value.prefix(12) + "…" : value
  }
}
