import Basics
import Foundation
import Synchronization

/// Device models on disk, one for each device and driver.
///
/// Kept like built programs (``BinaryCache``): written under another name and renamed, with a checksum, so that a
/// torn file counts as absent.
public struct DeviceModelStore: Sendable {
  /// Raised when the model's fields or the way of measuring change.
  private static let format = "device-model-4"
  /// Probes do not run side by side: they would measure each other.
  private static let probing = Mutex(())

  private let files: BinaryCache
  private let programs: BinaryCache

  /// - Parameters:
  ///   - folder: where models are kept; nil keeps none.
  ///   - programs: where the probe's kernels are kept once built.
  public init(folder: String?, programs: BinaryCache = .standard) {
    files = BinaryCache(folder: folder)
    self.programs = programs
  }

  /// `${XDG_CACHE_HOME:-~/.cache}/retort/devices`.
  public static var standard: DeviceModelStore {
    DeviceModelStore(folder: BinaryCache.standardFolder("devices"))
  }

  /// The model of `device` from the cache, or probed now and kept.
  ///
  /// - Parameters:
  ///   - measured: whether rates are wanted; without, only what ``DeviceProbe/describe()`` tells is certain.
  ///   - refresh: probes anew whatever the cache holds.
  /// - Throws: what the driver says where it gives no context.
  public func model(of device: OpenCLDevice, measured: Bool, refresh: Bool = false) throws -> DeviceModel {
    if !refresh, let model = stored(device), !measured || model.rates != nil { return model }
    return try Self.probing.withLock { _ in
      if !refresh, let model = stored(device), !measured || model.rates != nil { return model }
      let probe = try DeviceProbe(device, cache: programs)
      let model = measured ? probe.measure() : probe.describe()
      let encoder = JSONEncoder()
      encoder.outputFormatting = .sortedKeys
      if let data = try? encoder.encode(model) { files.store(Array(data), key: Self.key(device)) }
      return model
    }
  }

  /// What kernel variants may use on `device`: where warp instructions are possible, as a probe found.
  ///
  /// - Throws: what the driver says where it gives no context for the probe.
  public func features(of device: OpenCLDevice) throws -> KernelFeatures {
    guard DeviceProbe.takesPTX(device) else { return device.features }
    return try model(of: device, measured: false).features
  }

  /// The kept model; limits are the driver's of today, since some follow the free memory.
  public func stored(_ device: OpenCLDevice) -> DeviceModel? {
    guard let bytes = files.load(Self.key(device)),
      var model = try? JSONDecoder().decode(DeviceModel.self, from: Data(bytes))
    else { return nil }
    model.limits = DeviceProbe.limits(device)
    return model
  }

  /// The file of `device`'s model.
  public func path(_ device: OpenCLDevice) -> String? { files.path(Self.key(device)) }

  private static func key(_ device: OpenCLDevice) -> [UInt8] {
    BinaryCache.key([
      format, device.platformName, device.platformVersion, device.name, device.version, device.driverVersion,
      "\(device.computeUnits)",
    ])
  }
}
