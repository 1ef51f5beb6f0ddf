import Basics
import Foundation

/// Built programs on disk, one file a key; a torn, stale or foreign file counts as absent.
///
/// File: magic, key (16 bytes), payload length (8), checksum (8), payload; numbers little-endian. Written under
/// a temporary name, fsynced, then renamed, so that a reader sees a whole file or none.
public struct BinaryCache: Sendable {
  private static let magic: [UInt8] = Array("RETORTK1".utf8)
  private static let headerBytes = 40

  /// The folder; nil switches the cache off.
  public let folder: String?

  public init(folder: String?) { self.folder = folder }

  /// `${XDG_CACHE_HOME:-~/.cache}/retort/kernels`.
  public static var standard: BinaryCache { BinaryCache(folder: standardFolder("kernels")) }

  /// `${XDG_CACHE_HOME:-~/.cache}/retort/<name>`; nil where there is neither variable nor home.
  public static func standardFolder(_ name: String) -> String? {
    let environment = ProcessInfo.processInfo.environment
    if let base = environment["XDG_CACHE_HOME"], !base.isEmpty { return "\(base)/retort/\(name)" }
    guard let home = environment["HOME"], !home.isEmpty else { return nil }
    return "\(home)/.cache/retort/\(name)"
  }

  /// 128 bits that name a build: every part, with its length, counts.
  public static func key(_ parts: [String]) -> [UInt8] {
    var text: [UInt8] = []
    for part in parts {
      text.append(contentsOf: Array("\(part.utf8.count):".utf8))
      text.append(contentsOf: part.utf8)
    }
    let first = hash(text, seed: 0xCBF2_9CE4_8422_2325)
    let second = hash(text, seed: 0x9E37_79B9_7F4A_7C15)
    return bytes(first) + bytes(second)
  }

  /// The file that belongs to a key.
  public func path(_ key: [UInt8]) -> String? {
    let digits = key.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    return folder.map { "\($0)/\(digits).bin" }
  }

  /// The stored program, or nil where there is none that is whole and has this key.
  public func load(_ key: [UInt8]) -> [UInt8]? {
    guard let path = path(key), let data = FileManager.default.contents(atPath: path) else { return nil }
    let file = [UInt8](data)
    guard file.count > Self.headerBytes, Array(file[0..<8]) == Self.magic, Array(file[8..<24]) == key else {
      return nil
    }
    let payload = Array(file[Self.headerBytes...])
    let sum = Self.hash(payload, seed: 0xCBF2_9CE4_8422_2325)
    guard Array(file[24..<32]) == Self.bytes(UInt64(payload.count)), Array(file[32..<40]) == Self.bytes(sum)
    else { return nil }
    return payload
  }

  /// Stores a program; a cache that cannot be written is no error.
  public func store(_ payload: [UInt8], key: [UInt8]) {
    guard let folder, let path = path(key) else { return }
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch { return }
    let sum = Self.hash(payload, seed: 0xCBF2_9CE4_8422_2325)
    let file = Self.magic + key + Self.bytes(UInt64(payload.count)) + Self.bytes(sum) + payload
    let temporary = "\(path).\(getpid()).\(UInt64.random(in: 0...UInt64.max))"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { return }
    var start = 0
    while start < file.count {
      let written = file.withUnsafeBytes {
        write(descriptor, $0.baseAddress.map { $0 + start }, $0.count - start)
      }
      if written <= 0 { break }
      start += written
    }
    let whole = start == file.count && fsync(descriptor) == 0
    close(descriptor)
    if !whole || rename(temporary, path) != 0 { unlink(temporary) }
  }

  private static func bytes(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
  }

  /// FNV-1a, finished with a mix so that the two seeds give independent halves.
  private static func hash(_ bytes: [UInt8], seed: UInt64) -> UInt64 {
    var value = seed
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    value ^= value >> 33
    value = value &* 0xFF51_AFD7_ED55_8CCD
    return value ^ (value >> 33)
  }
}
