import Basics
import Foundation
import Synchronization
import Tensors

/// Host memory lent to a tensor; goes back to its pool with the last reference.
final class CPUBuffer: DeviceBuffer, @unchecked Sendable {
  let byteCount: Int
  let base: UnsafeMutableRawPointer
  private let pool: BufferPool

  fileprivate init(byteCount: Int, base: UnsafeMutableRawPointer, pool: BufferPool) {
    self.byteCount = byteCount
    self.base = base
    self.pool = pool
  }

  deinit { pool.giveBack(base, byteCount: byteCount) }
}

/// Free blocks by size class (powers of two and the halves between), 64-byte aligned.
final class BufferPool: Sendable {
  private let free = Mutex<[Int: [Address]]>([:])
  private struct Address: @unchecked Sendable { let pointer: UnsafeMutableRawPointer }

  /// A buffer of at least `byteCount` bytes.
  ///
  /// - Throws: `outOfMemory` where the system has none left.
  func take(_ byteCount: Int) throws -> CPUBuffer {
    let size = BufferPool.sizeClass(byteCount)
    if let address = free.withLock({ $0[size]?.popLast() }) {
      return CPUBuffer(byteCount: size, base: address.pointer, pool: self)
    }
    return CPUBuffer(byteCount: size, base: try BufferPool.allocate(size, largePages: true), pool: self)
  }

  fileprivate func giveBack(_ base: UnsafeMutableRawPointer, byteCount: Int) {
    free.withLock { $0[byteCount, default: []].append(Address(pointer: base)) }
  }

  deinit {
    free.withLock { for address in $0.values.joined() { Foundation.free(address.pointer) } }
  }

  static func sizeClass(_ byteCount: Int) -> Int {
    var size = 256
    while size < byteCount {
      if size + size / 2 >= byteCount { return size + size / 2 }
      size *= 2
    }
    return size
  }

  /// What the processor's address cache holds as one entry where the system has large pages.
  private static let largePage = 1 << 21

  /// 64-byte aligned memory outside any pool, for weights and caches.
  ///
  /// - Parameter largePages: whether blocks of several megabytes ask the system for large pages. Passes over
  ///   activations, parameters and moments otherwise wait for an address at every 4 KB.
  static func allocate(_ byteCount: Int, largePages: Bool = false) throws -> UnsafeMutableRawPointer {
    var pointer: UnsafeMutableRawPointer?
    let isLarge = largePages && byteCount >= largePage
    guard posix_memalign(&pointer, isLarge ? largePage : 64, max(byteCount, 64)) == 0, let pointer else {
      throw exhausted(byteCount)
    }
    if isLarge { madvise(pointer, byteCount / largePage * largePage, MADV_HUGEPAGE) }
    return pointer
  }

  static func exhausted(_ byteCount: Int) -> RetortError {
    RetortError(
      .outOfMemory, "no memory for \(byteCount) bytes",
      remedy: "Use a smaller batch or context, a smaller model, or --compute lean.")
  }
}

/// Memory that lives as long as its owner: weights and caches.
final class OwnedMemory: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int
  private let isMapped: Bool

  /// From this size on memory is the system's own pages, which go back to it at once.
  private static let mappedBytes = 1 << 20

  /// - Parameter zeroed: zero pages come from the system when first touched, so an unused part costs nothing.
  init(byteCount: Int, zeroed: Bool = false) throws {
    self.byteCount = byteCount
    // The heap would keep a large block that was freed below a small one: scratch of a load added half of the
    // weights to the peak.
    isMapped = zeroed || byteCount >= OwnedMemory.mappedBytes
    guard isMapped else {
      base = try BufferPool.allocate(byteCount)
      return
    }
    let pages = mmap(nil, max(byteCount, 64), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let pages, pages != MAP_FAILED else { throw BufferPool.exhausted(byteCount) }
    // Large pages where the system has them: a tenth of the page faults while weights are packed.
    if byteCount >= OwnedMemory.mappedBytes { madvise(pages, byteCount, MADV_HUGEPAGE) }
    base = pages
  }

  deinit {
    if isMapped {
      munmap(base, max(byteCount, 64))
    } else {
      Foundation.free(base)
    }
  }
}
