import COpenCL
import Foundation

/// Memory in large pages, for the buffers of devices that compute in the host's memory.
///
/// A product walks through rows that lie kilobytes apart; in pages of 4 KB nearly every row needs an address that the
/// processor does not have at hand. Drivers allocate in small pages where the system has large ones only on demand.
enum LargePages {
  static let pageBytes = 1 << 21
  /// From this size on rounding up to whole pages costs little.
  static let smallestBytes = 2 * pageBytes

  /// Pages that `free` gives back.
  private struct Region {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
  }

  /// A buffer over pages of its own, which go with it; nil where the system or the driver refuses.
  static func makeBuffer(_ context: cl_context, byteCount: Int) -> cl_mem? {
    guard let base = map((byteCount + pageBytes - 1) / pageBytes * pageBytes) else { return nil }
    let region = UnsafeMutablePointer<Region>.allocate(capacity: 1)
    region.initialize(to: base)
    var status: cl_int = 0
    let flags = cl_mem_flags(CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR)
    guard let memory = clCreateBuffer(context, flags, byteCount, base.base, &status), status == CL_SUCCESS
    else {
      free(region)
      return nil
    }
    // The driver calls back when the last queued command that uses the buffer has ended.
    let call: @convention(c) (cl_mem?, UnsafeMutableRawPointer?) -> Void = { _, region in
      if let region { LargePages.free(region.assumingMemoryBound(to: Region.self)) }
    }
    guard clSetMemObjectDestructorCallback(memory, call, region) == CL_SUCCESS else {
      clReleaseMemObject(memory)
      free(region)
      return nil
    }
    return memory
  }

  private static func map(_ byteCount: Int) -> Region? {
    // Some more, of which what lies before and behind whole pages is given back.
    let length = byteCount + pageBytes
    let pages = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let pages, pages != MAP_FAILED else { return nil }
    let before = (pageBytes - Int(bitPattern: pages) % pageBytes) % pageBytes
    if before > 0 { munmap(pages, before) }
    if pageBytes > before { munmap(pages + before + byteCount, pageBytes - before) }
    madvise(pages + before, byteCount, MADV_HUGEPAGE)
    return Region(base: pages + before, byteCount: byteCount)
  }

  private static func free(_ region: UnsafeMutablePointer<Region>) {
    munmap(region.pointee.base, region.pointee.byteCount)
    region.deallocate()
  }
}
