// Reads a SEG with OHIF's own reader. node read_seg.mjs FOLDER_OF_IMAGES SEG OUT
// OUT/masks.json says what was found; OUT/<n>.raw holds the n-th label map, an octet a voxel, images in their sorted order.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { createFromDICOMSegBuffer } from '@cornerstonejs/adapters/cornerstone3D/Segmentation/generateToolState';
import { metaData } from '@cornerstonejs/core';
import dcmjs from 'dcmjs';

const { DicomMessage, DicomMetaDictionary } = dcmjs.data;

function octets(path) {
  const file = readFileSync(path);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
}

function read(path) {
  const dicom = DicomMessage.readFile(octets(path));
  return DicomMetaDictionary.naturalizeDataset(dicom.dict);
}

// What the viewer knows of an image, in the words in which its reader asks.
const MODULES = {
  instance: (image) => image,
  generalImageModule: (image) => ({ sopInstanceUID: image.SOPInstanceUID }),
  generalSeriesModule: (image) => ({ seriesInstanceUID: image.SeriesInstanceUID, modality: image.Modality }),
  imagePixelModule: (image) => ({ rows: image.Rows, columns: image.Columns }),
  imagePlaneModule: (image) => ({
    frameOfReferenceUID: image.FrameOfReferenceUID,
    rows: image.Rows,
    columns: image.Columns,
    imageOrientationPatient: image.ImageOrientationPatient,
    rowCosines: image.ImageOrientationPatient.slice(0, 3),
    columnCosines: image.ImageOrientationPatient.slice(3),
    imagePositionPatient: image.ImagePositionPatient,
    pixelSpacing: image.PixelSpacing,
    rowPixelSpacing: image.PixelSpacing[0],
    columnPixelSpacing: image.PixelSpacing[1],
  }),
};

const [, , folder, seg, out] = process.argv;
const names = readdirSync(folder).filter((name) => name.endsWith('.dcm')).sort();
const images = new Map(names.map((name) => [`file:${name}`, read(join(folder, name))]));
metaData.addProvider((kind, id) => (images.has(id) ? MODULES[kind]?.(images.get(id)) : undefined), 1);

const found = await createFromDICOMSegBuffer([...images.keys()], octets(seg), { metadataProvider: metaData });
mkdirSync(out, { recursive: true });
found.labelMapImages.forEach((map, index) => {
  writeFileSync(join(out, `${index}.raw`), Buffer.concat(map.map((image) => Buffer.from(image.getPixelData()))));
});
const told = {
  images: [...images.values()].map((image) => image.SOPInstanceUID),
  maps: found.labelMapImages.length,
  labels: found.segMetadata.data.slice(1).map((segment) => segment.SegmentLabel),
};
writeFileSync(join(out, 'masks.json'), JSON.stringify(told));
