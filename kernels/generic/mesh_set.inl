// What find() asks a set for.

inline GraphConv get(Tag<GraphConv>) { return {&sparse, &cheb_dense, &cheb_products}; }
inline Raster get(Tag<Raster>) { return {&place, &raster, &resolve, &normals, &shade}; }
