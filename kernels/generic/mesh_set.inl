// What find_mesh() asks a set for.

inline GraphConv mesh_get(Tag<GraphConv>) { return {&cheb_term, &cheb_products, &clenshaw, kWidth}; }
inline Raster mesh_get(Tag<Raster>) { return {&raster, &resolve, &shade}; }
