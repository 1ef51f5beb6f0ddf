import Basics
import Foundation
import Testing

@testable import Relevance

/// A reproducible random source for property tests.
struct Draw: RandomNumberGenerator {
  private let philox: Philox
  private var counter: UInt64 = 0

  init(seed: UInt64) { philox = Philox(key: seed) }

  mutating func next() -> UInt64 {
    counter += 1
    let words = philox.words(counter)
    return UInt64(words[0]) << 32 | UInt64(words[1])
  }
}

/// Writes `bytes` to a temporary file of this extension, runs `body` on its path, and removes it.
func withFile<Result>(_ extension: String, _ bytes: [UInt8], _ body: (String) throws -> Result) throws
  -> Result
{
  let url = FileManager.default.temporaryDirectory.appendingPathComponent(
    "\(UUID().uuidString).\(`extension`)")
  try Data(bytes).write(to: url)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url.path)
}

/// The `RetortError` that `body` throws, or nil where it throws none.
func thrownError(_ body: () throws -> Void) -> RetortError? {
  do {
    try body()
    return nil
  } catch {
    return error as? RetortError
  }
}

/// Parses JSON with Foundation, independently of the module's own reader.
func foundationObject(_ json: String) throws -> [String: Any] {
  try #require(JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
}
