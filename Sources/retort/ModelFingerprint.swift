import Basics
import Foundation
import Relevance

/// What a model's files are known by, without reading all of their gigabytes.
enum ModelFingerprint {
  private static let sampleBytes = 1 << 16
  private static let samples = 64

  /// SHA-256 in hexadecimal over names and sizes of the model's files, and the content of small ones; of a file
  /// past 4 MiB, over 64 samples of 64 KiB spread evenly from its start to its end.
  ///
  /// - Throws: `fileUnavailable` where a file cannot be read.
  static func of(path: String) throws -> String {
    var hash = SHA256()
    for file in try files(path) {
      let mapped = try MappedFile(path: file)
      add("\((file as NSString).lastPathComponent)\0\(mapped.bytes.count)\0", to: &hash)
      if mapped.bytes.count <= samples * sampleBytes {
        hash.update(mapped.bytes)
      } else {
        let stride = (mapped.bytes.count - sampleBytes) / (samples - 1)
        for index in 0..<samples {
          let start = index * stride
          hash.update(UnsafeRawBufferPointer(rebasing: mapped.bytes[start..<start + sampleBytes]))
        }
      }
      mapped.release(0..<mapped.bytes.count)
    }
    return SHA256.hex(hash.finish())
  }

  /// The file itself, or a folder's weights, tokenizer and configuration.
  private static func files(_ path: String) throws -> [String] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
      return [path]
    }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    let endings = [".gguf", ".safetensors", ".json", ".jinja", ".txt"]
    return names.filter { name in endings.contains { name.hasSuffix($0) } }.sorted().map { path + "/" + $0 }
  }

  private static func add(_ text: String, to hash: inout SHA256) {
    Array(text.utf8).withUnsafeBytes { hash.update($0) }
  }
}
