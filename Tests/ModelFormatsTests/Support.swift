import Basics
import Foundation
import ModelFormats

/// A reproducible random source.
struct Draw {
  private let philox: Philox
  private var counter: UInt64 = 0

  init(seed: UInt64) { philox = Philox(key: seed) }

  mutating func next() -> UInt64 {
    counter += 1
    let words = philox.words(counter)
    return UInt64(words[0]) << 32 | UInt64(words[1])
  }

  /// A number from 0 up to, not including, `limit`.
  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

/// Makes an empty folder, runs `body` on its path, and removes it.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url.path)
}

/// Writes bytes to a new file, replacing what was there.
///
/// The old file is removed first, as some file systems flush to disk one that is truncated and written again,
/// which the fuzz tests would do thousands of times.
func write(_ bytes: [UInt8], to path: String) throws {
  unlink(path)
  try Data(bytes).write(to: URL(fileURLWithPath: path))
}

/// Writes `bytes` to a file of this name, runs `body` on its path, and removes it.
func withFile<Result>(_ bytes: [UInt8], named name: String = "model.gguf", _ body: (String) throws -> Result)
  throws -> Result
{
  try withFolder { folder in
    try write(bytes, to: folder + "/" + name)
    return try body(folder + "/" + name)
  }
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

/// The error of opening these bytes as GGUF, or nil where they are accepted.
func openingError(gguf bytes: [UInt8]) throws -> RetortError? {
  try withFile(bytes) { path in thrownError { _ = try GGUFFile(path: path) } }
}

/// The error of opening these bytes as safetensors, or nil where they are accepted.
func openingError(safetensors bytes: [UInt8]) throws -> RetortError? {
  try withFile(bytes, named: "model.safetensors") { path in
    thrownError { _ = try SafetensorsFile(path: path) }
  }
}

/// A safetensors file with this header and these bytes of data.
func safetensors(header: [UInt8], data: [UInt8] = []) -> [UInt8] {
  withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header + data
}
